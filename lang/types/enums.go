package types

import "fmt"

// Architectures whose numbers the language knows, by their names in Go.
const (
	AMD64 = "amd64"
	ARM64 = "arm64"
)

// Names of the enums, as in Enum.Name.
const (
	EnumCap      = "cap"       // capability numbers, for field cap
	EnumCaps     = "caps"      // capability masks 1<<number, for field caps
	EnumSignal   = "signal"    // signals 1 to 31
	EnumFamily   = "family"    // address families
	EnumSockType = "socktype"  // socket types
	EnumProtocol = "protocol"  // IPPROTO_*
	EnumAccess   = "access"    // read, write, append, exec
	EnumPtrace   = "ptrace"    // read, attach
	EnumOpen     = "openflags" // O_*; numbers depend on the architecture
	EnumProt     = "prot"      // PROT_*
)

// accessBits is how an open's access is told; the bits are the language's own.
var accessBits = []EnumValue{{"read", 1}, {"write", 2}, {"append", 4}, {"exec", 8}}

// ptraceModes are PTRACE_MODE_READ and PTRACE_MODE_ATTACH of include/linux/ptrace.h.
var ptraceModes = []EnumValue{{"read", 1}, {"attach", 2}}

// protections are those of include/uapi/asm-generic/mman-common.h.
var protections = []EnumValue{{"PROT_READ", 1}, {"PROT_WRITE", 2}, {"PROT_EXEC", 4}}

// OpenFlags gives the open flags of an architecture, AMD64 or ARM64
// (include/uapi/asm-generic/fcntl.h, arch/arm64/include/uapi/asm/fcntl.h).
// O_RDONLY is 0 and O_WRONLY, O_RDWR are no bits of their own but values of the
// two bits O_ACCMODE. O_LARGEFILE is the kernel's value, not the 0 of 64-bit C
// libraries.
func OpenFlags(arch string) (*Enum, error) {
	directory, noFollow, direct, largeFile := int64(0o200000), int64(0o400000), int64(0o40000), int64(0o100000)
	switch arch {
	case AMD64:
	case ARM64:
		directory, noFollow, direct, largeFile = 0o40000, 0o100000, 0o200000, 0o400000
	default:
		return nil, fmt.Errorf("no open flags for architecture %q", arch)
	}
	return &Enum{Name: EnumOpen, Values: []EnumValue{
		{"O_RDONLY", 0}, {"O_WRONLY", 1}, {"O_RDWR", 2}, {"O_ACCMODE", 3},
		{"O_CREAT", 0o100}, {"O_EXCL", 0o200}, {"O_NOCTTY", 0o400}, {"O_TRUNC", 0o1000}, {"O_APPEND", 0o2000},
		{"O_NONBLOCK", 0o4000}, {"O_NDELAY", 0o4000}, {"O_DSYNC", 0o10000}, {"O_ASYNC", 0o20000},
		{"O_DIRECT", direct}, {"O_LARGEFILE", largeFile}, {"O_DIRECTORY", directory}, {"O_NOFOLLOW", noFollow},
		{"O_NOATIME", 0o1000000}, {"O_CLOEXEC", 0o2000000}, {"O_SYNC", 0o4010000}, {"O_PATH", 0o10000000},
		{"O_TMPFILE", 0o20000000 | directory},
	}}, nil
}

// enums gives every enum but the errnos, in the order of Schema.Enums.
func enums(arch string) []*Enum {
	masks := make([]EnumValue, len(capabilities))
	for i, c := range capabilities {
		masks[i] = EnumValue{c.Name, 1 << c.Value}
	}
	open, err := OpenFlags(arch)
	if err != nil {
		panic("types: " + err.Error()) // schemas are built for known architectures only
	}
	return []*Enum{
		{EnumCap, capabilities}, {EnumCaps, masks}, {EnumSignal, signals}, {EnumFamily, families},
		{EnumSockType, socketTypes}, {EnumProtocol, protocols}, {EnumAccess, accessBits}, {EnumPtrace, ptraceModes},
		open, {EnumProt, protections},
	}
}
