package rt

import (
	"fmt"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/compiler/object"
)

// text is a kind of buffer that an automaton runs over: a NUL-terminated string
// of up to maxLen bytes with match.PathSlack readable bytes behind.
type text struct {
	prefix string // of the routines' names
	maxLen int64
	stack  bool // aligned to 8 bytes on the stack
}

var (
	pathText = text{"rt_match_", match.MaxPath, false} // Scratch.Path
	commText = text{"rt_comm_", commBytes - 1, true}   // task_struct.comm
)

func (t text) function(table string) string { return t.prefix + identifier(table) }

// stepsPerCall is how many steps of the automaton one callback of bpf_loop makes.
// More steps save calls and make the program longer.
const stepsPerCall = 4

// Context of the callback, on the stack of the routine.
const (
	mState = 8 * iota
	mPos
	mText
	mSize
)

// automaton gives u32 t.function(table)(text *), which runs an automaton over
// the text and returns its class, and its callback. The class is unresolved,
// which is the number of classes, if the table turns out to be none of
// compiler/match's.
func automaton(a *match.Automaton, t text, table string) ([]object.Func, error) {
	classes := int64(len(a.Classes))
	r := begin(t.function(table), typeU32, "classify by "+table, param("text", typePtr))
	if a.Start >= match.FinalState { // all texts are alike
		class := int64(a.Start) - match.FinalState
		if class >= classes {
			return nil, fmt.Errorf("table %s: start %d is no class of %d", table, a.Start, classes)
		}
		r.Const(emit.R0, class)
		r.Exit()
		f, err := r.Build()
		return []object.Func{f}, err
	}
	steps := int64(a.MaxSteps)
	if t.maxLen < match.MaxPath {
		steps = (t.maxLen + 1) * (1 + int64(a.Stats.Retries))
	}
	callback := t.function(table) + "_step"
	// The machine starts at position 0 in the start state, but the verifier must
	// not know: 6.1 verifies the callback for its first call only and removes what
	// that does not reach; later ones follow known states through the table.
	// x * (x + 1) is even, which is too much mathematics for them.
	r.Load(emit.DW, emit.R2, emit.R1, 0)
	r.Move(emit.R3, emit.R2)
	r.OpImm(emit.Add, emit.R3, 1)
	r.Op(emit.Mul, emit.R2, emit.R3)
	r.OpImm(emit.And, emit.R2, 1)
	r.Neg(emit.R2)
	r.Store(emit.DW, emit.FP, mPos-mSize, emit.R2)
	r.OpImm(emit.Add, emit.R2, int64(a.Start))
	r.Store(emit.DW, emit.FP, mState-mSize, emit.R2)
	r.Store(emit.DW, emit.FP, mText-mSize, emit.R1)
	r.Const(emit.R1, (steps+stepsPerCall-1)/stepsPerCall)
	r.FuncAddr(emit.R2, callback)
	r.Move(emit.R3, emit.FP)
	r.OpImm(emit.Add, emit.R3, -mSize)
	r.Const(emit.R4, 0)
	r.Call(fnLoop)
	unresolved := r.NewLabel()
	r.Load(emit.DW, emit.R0, emit.FP, mState-mSize)
	r.OpImm(emit.Sub, emit.R0, match.FinalState)
	r.JumpImm(emit.JGe, emit.R0, classes, unresolved)
	r.Exit()
	r.returns(unresolved, classes)
	f, err := r.Build()
	if err != nil {
		return nil, err
	}
	step, err := automatonStep(a, t, table, callback)
	return []object.Func{f, step}, err
}

// Registers of a step.
const (
	sContext = emit.R2
	sState   = emit.R3
	sPos     = emit.R4
	sWord    = emit.R5 // 8 bytes of the text
	sHeader  = emit.R0
	sRecord  = emit.R1
)

// automatonStep gives the callback: stepsPerCall steps of the machine that
// compiler/match documents.
func automatonStep(a *match.Automaton, t text, table, name string) (object.Func, error) {
	r := begin(name, typeS64, "steps of "+table, param("index", typeU32), param("ctx", typePtr))
	stop, corrupt := r.NewLabel(), r.NewLabel()
	limit := int64(len(a.Table)-match.Guard) / match.StateSize
	r.Load(emit.DW, sState, sContext, mState)
	r.Load(emit.DW, sPos, sContext, mPos)
	for range stepsPerCall {
		r.JumpImm(emit.JGt, sState, limit, stop)
		r.JumpImm(emit.JGt, sPos, t.maxLen, corrupt)
		r.loadWord(t)
		r.machineStep(a, table, corrupt)
	}
	r.JumpImm(emit.JGt, sState, limit, stop)
	r.Store(emit.DW, sContext, mState, sState)
	r.Store(emit.DW, sContext, mPos, sPos)
	r.Const(emit.R0, 0)
	r.Exit()
	r.Bind(corrupt)
	r.Const(sState, 0) // no class
	r.Bind(stop)
	r.Store(emit.DW, sContext, mState, sState)
	r.Const(emit.R0, 1)
	r.Exit()
	return r.Build()
}

const (
	lowBits  = 0x0101010101010101
	highBits = -0x7f7f7f7f7f7f7f80 // 0x8080808080808080
	byteRank = 0x0001020304050607
)

// loadWord loads the next 8 bytes of the text. On the stack, loads must be aligned.
func (r *routine) loadWord(t text) {
	r.Load(emit.DW, sWord, sContext, mText)
	if !t.stack {
		r.Op(emit.Add, sWord, sPos)
		r.Load(emit.DW, sWord, sWord, 0)
		return
	}
	r.Move(emit.R6, sPos)
	r.OpImm(emit.And, emit.R6, commBytes-8)
	r.Op(emit.Add, emit.R6, sWord)
	r.Load(emit.DW, sWord, emit.R6, 0)
	r.Load(emit.DW, emit.R6, emit.R6, 8)
	r.Move(emit.R7, sPos)
	r.OpImm(emit.And, emit.R7, 7)
	r.OpImm(emit.Lsh, emit.R7, 3)
	r.Op(emit.Rsh, sWord, emit.R7)
	r.OpImm(emit.Xor, emit.R7, 63) // 63 - shift, so that 64 becomes 63 and one more
	r.Op(emit.Lsh, emit.R6, emit.R7)
	r.OpImm(emit.Lsh, emit.R6, 1)
	r.Op(emit.Or, sWord, emit.R6)
}

// machineStep emits one step. State and position are in bounds, the next bytes
// loaded; the registers of the step are lost but for those two and the context.
func (r *routine) machineStep(a *match.Automaton, table string, corrupt emit.Label) {
	branch, failed, scan, lookup, next := r.NewLabel(), r.NewLabel(), r.NewLabel(), r.NewLabel(), r.NewLabel()
	r.TableAddr(sRecord, table, 0)
	r.OpImm(emit.Lsh, sState, 3)
	r.Op(emit.Add, sRecord, sState)
	r.Load(emit.DW, sHeader, sRecord, 0)
	r.JumpImm(emit.JSet, sHeader, 1, branch)

	r.Load(emit.DW, emit.R6, sRecord, 8) // a run
	r.Op(emit.Lsh, sWord, sHeader)       // by the low 6 bits
	r.Jump(emit.JNe, sWord, emit.R6, failed)
	r.Move(emit.R6, sHeader)
	r.OpImm(emit.Rsh, emit.R6, 8)
	r.OpImm(emit.And, emit.R6, 0xff)
	r.Op(emit.Add, sPos, emit.R6)
	r.Move(sState, sHeader)
	r.OpImm(emit.Rsh, sState, 16)
	r.OpImm(emit.And, sState, 0xffffff)
	r.Goto(next)
	r.Bind(failed)
	r.Move(sState, sHeader)
	r.OpImm(emit.Rsh, sState, 40)
	r.Goto(next)

	r.Bind(branch)
	r.JumpImm(emit.JSet, sHeader, 2, scan)
	r.Bind(lookup)
	r.OpImm(emit.And, sWord, 0xff)
	r.Move(emit.R7, sHeader)
	r.OpImm(emit.Rsh, emit.R7, 16)
	r.OpImm(emit.And, emit.R7, 0xffffff)
	r.Op(emit.Add, emit.R7, sWord)
	r.OpImm(emit.Lsh, emit.R7, 2)
	r.JumpImm(emit.JGt, emit.R7, int64(len(a.Table)-match.Guard), corrupt)
	r.TableAddr(sRecord, table, 0)
	r.Op(emit.Add, sRecord, emit.R7)
	r.Load(emit.W, sRecord, sRecord, 0) // the slot
	r.OpImm(emit.Add, sPos, 1)
	r.Move(sState, sHeader)
	r.OpImm(emit.Rsh, sState, 40)
	r.Move(emit.R7, sRecord)
	r.OpImm(emit.And, emit.R7, 0xff)
	r.Jump(emit.JNe, emit.R7, sWord, next)
	r.Move(sState, sRecord)
	r.OpImm(emit.Rsh, sState, 8)
	r.Goto(next)

	// A scan: find the first of 8 bytes that is NUL or one of two others.
	r.Bind(scan)
	zeroBytes := func(dst, v emit.Reg) { // dst has the top bit of each byte of v that is 0, and maybe of later ones
		r.Move(dst, v)
		r.Op(emit.Sub, dst, emit.R9)
		r.OpImm(emit.Xor, v, -1)
		r.Op(emit.And, dst, v)
		r.OpImm(emit.Xor, v, -1)
	}
	r.Const(emit.R9, lowBits)
	r.Load(emit.DW, emit.R6, sRecord, 8)
	r.Op(emit.Xor, emit.R6, sWord)
	r.Load(emit.DW, sRecord, sRecord, 16)
	r.Op(emit.Xor, sRecord, sWord)
	zeroBytes(emit.R7, emit.R6)
	zeroBytes(emit.R8, sRecord)
	r.Op(emit.Or, emit.R7, emit.R8)
	zeroBytes(emit.R8, sWord)
	r.Op(emit.Or, emit.R7, emit.R8)
	r.Const(emit.R8, highBits)
	r.Op(emit.And, emit.R7, emit.R8)
	found := r.NewLabel()
	r.JumpImm(emit.JNe, emit.R7, 0, found)
	r.OpImm(emit.Add, sPos, 8)
	r.OpImm(emit.Rsh, sState, 3) // the state is kept
	r.Goto(next)
	r.Bind(found)
	r.Move(emit.R8, emit.R7)
	r.Neg(emit.R8)
	r.Op(emit.And, emit.R7, emit.R8) // the lowest bit
	r.OpImm(emit.Rsh, emit.R7, 7)
	r.Const(emit.R8, byteRank)
	r.Op(emit.Mul, emit.R7, emit.R8)
	r.OpImm(emit.Rsh, emit.R7, 56) // the index of its byte, at most 7
	r.OpImm(emit.And, emit.R7, 7)
	r.Op(emit.Add, sPos, emit.R7)
	r.OpImm(emit.Lsh, emit.R7, 3)
	r.Op(emit.Rsh, sWord, emit.R7)
	r.Goto(lookup)
	r.Bind(next)
}
