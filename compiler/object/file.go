package object

import "github.com/cilium/ebpf/btf"

// Limits of a file. They bound what Write emits; where the kernel has the
// limit, the comment names it.
const (
	// MaxInstructions is the number of 8-byte slots that a program may have
	// together with the subprograms it reaches: BPF_COMPLEXITY_LIMIT_INSNS in
	// include/linux/bpf.h, checked by BPF_PROG_LOAD.
	MaxInstructions = 1_000_000

	// MaxTableBytes is the size of one table: direct map value addresses reach
	// less than BPF_MAX_VAR_OFF (include/linux/bpf_verifier.h).
	MaxTableBytes = 1<<29 - 1

	// MaxColumn is the largest column that a line record can hold (10 bits). An
	// instruction that comes from a later column gets column 0, "unknown".
	MaxColumn = 1<<10 - 1

	// MaxLine is the largest line number that a line record can hold (22 bits).
	MaxLine = 1<<22 - 1

	// maxBTFStrings is BTF_MAX_NAME_OFFSET of include/uapi/linux/btf.h.
	maxBTFStrings = 0xffffff
)

// File is a whole object. The names of programs, subprograms, kernel functions,
// maps and tables share one namespace and are C identifiers.
type File struct {
	Programs    []Program // entry points; none in a policy that no event concerns
	Subprograms []Func    // functions that programs call or hand to helpers
	Kfuncs      []Kfunc   // kernel functions that instructions call
	Maps        []Map     // maps; the loader creates or replaces them by name
	Tables      []Table   // read-only data
	Structs     []Struct  // local descriptions of the kernel types that CoreField names
	License     string    // licence of the programs as the kernel knows it, such as "GPL"; not empty
	Meta        Meta      // the policy that the programs were compiled from
}

// Program is the entry point for one LSM hook. It is written to the ELF section
// "lsm/HOOK", or "lsm.s/HOOK" if it may sleep, as a global function. Programs of
// equal hook and sleepability share a section, in the order given.
type Program struct {
	Func             // Linkage is ignored: an entry point is global
	Hook      string // LSM hook without the "bpf_lsm_" prefix, such as "file_open"
	Sleepable bool
}

// Func is a function. Its Code must be closed: every jump lands on an
// instruction of the function, and control cannot run past the end.
type Func struct {
	Name    string
	Linkage btf.FuncLinkage // StaticFunc, or GlobalFunc to have the verifier check it on its own
	Params  []btf.FuncParam // at most 5; not modified
	Return  btf.Type        // not modified; *btf.Void for a function without result
	Code    []Insn
}

// Kfunc declares a kernel function or a dynamic helper of a module (Linux 6.1
// and later for LSM programs). The loader finds it by name in the kernel's and
// the modules' BTF.
type Kfunc struct {
	Name   string
	Params []btf.FuncParam // not modified
	Return btf.Type        // not modified
	Weak   bool            // a missing function fails only the programs that reach the call
}

// Insn is one instruction as the kernel defines it (Documentation/bpf/
// standardization/instruction-set.rst), before encoding. A 64-bit immediate load
// (Op 0x18) is one Insn here and occupies two slots in the program; jump offsets
// count slots. Fields that an opcode does not use must be zero.
type Insn struct {
	Op  uint8 // opcode byte
	Dst uint8 // 0…10
	Src uint8 // 0…10; 0 wherever Ref is set
	Off int32 // checked to fit in 16 bits
	Imm int64 // checked to fit in 32 signed bits, except for 64-bit immediate loads

	Ref  Ref        // what the instruction refers to
	Core *CoreField // kernel field whose position replaces Off or Imm on load
	Line Line       // where the instruction comes from
}

// RefKind says what an instruction refers to.
type RefKind uint8

// The kinds of references. The zero value is "none".
const (
	// RefMap makes a 64-bit immediate load yield the address of a map.
	RefMap RefKind = iota + 1
	// RefTable makes a 64-bit immediate load yield the address of byte Offset
	// of a table.
	RefTable
	// RefFunc makes a call go to a subprogram, and a 64-bit immediate load yield
	// the address of a static subprogram, as the callback of a helper.
	RefFunc
	// RefKfunc makes a call go to a kernel function.
	RefKfunc
)

// Ref is a reference from an instruction to something named in the File. The
// zero Ref is none.
type Ref struct {
	Kind   RefKind
	Name   string
	Offset uint32 // RefTable only: byte offset, smaller than the table
}

// Line is the place that an instruction was compiled from. Line 0 means "as the
// instruction before"; the first instruction of a function must have a line.
type Line struct {
	File uint32 // index into Meta.Sources
	Line uint32 // 1-based
	Col  uint32 // 1-based, in bytes; 0 = unknown
	Text string // text of the source line
}

// MapType is the kernel's enum bpf_map_type (include/uapi/linux/bpf.h).
type MapType uint32

// Map types that policies use. Any other number of the kernel works too.
const (
	MapHash         MapType = 1
	MapArray        MapType = 2
	MapProgArray    MapType = 3
	MapPerCPUHash   MapType = 5
	MapPerCPUArray  MapType = 6
	MapLRUHash      MapType = 9
	MapLPMTrie      MapType = 11
	MapSkStorage    MapType = 24
	MapRingBuf      MapType = 27
	MapInodeStorage MapType = 28 // Linux 5.10
	MapTaskStorage  MapType = 29 // Linux 5.11
)

// Map is a map in libbpf's BTF-defined form. Key and Value, if set, give both
// size and BTF (local storage needs both); else KeySize and ValueSize hold.
type Map struct {
	Name       string
	Type       MapType
	Key, Value btf.Type // not modified
	KeySize    uint32   // bytes
	ValueSize  uint32   // bytes
	MaxEntries uint32   // entries; bytes for a ring buffer; 0 for local storage
	Flags      uint32   // BPF_F_*
}

// Table is read-only data in a section ".rodata.NAME" of its own, which a loader
// turns into a frozen array map with one element. It is aligned to 8 bytes.
type Table struct {
	Name string
	Data []byte // 1…MaxTableBytes
}
