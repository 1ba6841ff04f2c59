package attempt

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/eval"
	"github.com/snappy-policy/snappy/lang/types"
)

func TestRandomAttemptsAreKnown(t *testing.T) {
	u := Default(7)
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[string]int{}
	for range 5000 {
		a := u.Random(r)
		require.Contains(t, doers, a.Op)
		require.NotEmpty(t, a.Operations(), a.Op)
		seen[a.Op]++
		// It survives the pipe to an agent.
		b, err := json.Marshal(a)
		require.NoError(t, err)
		var back Attempt
		require.NoError(t, json.Unmarshal(b, &back))
		require.Equal(t, a, back)
	}
	for op := range doers {
		require.Positive(t, seen[op], "%s is never tried", op)
	}
}

func TestOperationsAreThoseOfTheLanguage(t *testing.T) {
	tried := map[string]bool{}
	for op, list := range operations {
		require.Contains(t, doers, op)
		for _, name := range list {
			require.NotNil(t, types.Language().Operation(name), name)
			tried[name] = true
		}
	}
	for _, op := range types.Language().Operations {
		if op.Unsupported == "" {
			require.True(t, tried[op.Name], "no attempt at %s", op.Name)
		}
	}
}

func TestTinyIsAProgram(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(tiny))
	require.NoError(t, err)
	require.Len(t, f.Progs, 1)
	require.Equal(t, f.Entry, f.Progs[0].Vaddr+0x78)
}

func TestValues(t *testing.T) {
	b, err := json.Marshal(Event{Op: "net.bind", Fields: map[string]Value{"port": num(80), "memfd": truth(true), "path": text(""), "addr": {Addr: new(string)}, "to": unresolved}})
	require.NoError(t, err)
	var e Event
	require.NoError(t, json.Unmarshal(b, &e))
	got := e.Eval(nil).Fields
	require.Equal(t, eval.Int(80), got["port"])
	require.Equal(t, eval.Bool(true), got["memfd"])
	require.Equal(t, eval.Text(""), got["path"])
	require.Equal(t, eval.Unresolved(), got["to"])
	require.NotEqual(t, eval.Unresolved(), got["addr"])
}
