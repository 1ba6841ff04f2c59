package object

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// SectionName is the ELF section that holds the encoded Meta.
const SectionName = ".snappy"

// MetaVersion is the version of the Meta encoding that this package writes, and
// the only one that it reads.
const MetaVersion = 1

// Limits of a Meta, for Write and Read alike: what was written can be read.
const (
	MaxMetaBytes    = 32 << 20 // the whole section
	MaxSources      = 1024
	MaxSourceBytes  = 1 << 20  // one source file
	MaxSourcesBytes = 16 << 20 // all of them
	MaxRules        = 1 << 16
	MaxRuleOps      = 64
	MaxListEntries  = 1024    // each of the other lists
	MaxNameBytes    = 256     // names of all sorts
	MaxTextBytes    = 1 << 16 // text of a rule, its reason, the value of a parameter
	MaxErrno        = 4095    // MAX_ERRNO of include/linux/err.h
)

// Errors that Read wraps; test with errors.Is.
var (
	// ErrNotObject means that the bytes are no relocatable BPF ELF file.
	ErrNotObject = errors.New("not a BPF object file")
	// ErrNoMeta means a BPF object without the section of SNAPPY.
	ErrNoMeta = errors.New("not compiled by snappyc: no " + SectionName + " section")
	// ErrVersion means that the section has another version than MetaVersion.
	ErrVersion = errors.New("unsupported version of the " + SectionName + " section")
	// ErrTruncated means that the file or the section ends too early.
	ErrTruncated = errors.New("truncated")
	// ErrLimit means that something is larger than the limits above.
	ErrLimit = errors.New("beyond the limit")
	// ErrCorrupt means that the section contradicts itself or its format.
	ErrCorrupt = errors.New("corrupt " + SectionName + " section")
	// ErrDigest means that the sources are not those that the digest was made of.
	ErrDigest = errors.New("the digest does not match the sources")
)

// Meta describes the policy that an object was compiled from. Names are valid
// UTF-8 without control characters; texts are valid UTF-8 without zero bytes.
type Meta struct {
	Compiler string    // version of the compiler
	Policy   string    // name of the policy, not empty
	Digest   [32]byte  // SourceDigest of Sources
	Sources  []Source  // canonical source, the policy file first, then its imports
	Params   []Param   // parameters, in order of declaration
	Rules    []Rule    // by ascending ID
	Defaults []Default // verdict of the operations when no rule matches
	Hooks    []Hook    // LSM hooks that must be attached
	Helpers  []string  // BPF helpers that the programs call, such as "bpf_d_path"
	Kfuncs   []string  // kernel functions and dynamic helpers that the programs call
	Features []string  // kernel features that the programs need
	Used     Usage
}

// Source is one file of the policy.
type Source struct {
	Name string // as shown in diagnostics; unique, not empty
	Text string // at most MaxSourceBytes
}

// Param is a parameter of the policy and the value it was compiled with.
type Param struct {
	Name  string // not empty
	Type  string // in the language, such as "path"
	Value string // in the language, such as `"/var/log/nginx"`
	Set   bool   // the value was given from outside; else it is the default of the source
}

// Rule is what events and explanations say about one rule.
type Rule struct {
	ID      uint32   // as in the programs and in events
	Verb    string   // "allow", "deny", "kill", "audit", …; not empty
	Name    string   // name after "as", or ""
	Ops     []string // operations that it is about
	File    uint32   // index into Meta.Sources
	Line    uint32   // 1-based
	Col     uint32   // 1-based, in bytes
	Because string   // reason given in the source, or ""
	Errno   uint32   // error number that the denied operation returns; 0 = default of the verb
	Text    string   // the rule as written
}

// Default is the verdict of an operation that no rule decides.
type Default struct {
	Op      string // operation or group; "" for all that are not listed
	Verdict string // "allow" or "deny"
}

// Hook is an LSM hook that the object has a program for.
type Hook struct {
	Name      string // without "bpf_lsm_"
	Sleepable bool
	Program   string // name of the Program
}

// Usage is how much of the limits the policy uses.
type Usage struct {
	TableBytes   uint64 // sum over the tables
	Instructions uint64 // slots of the largest program with its subprograms
}

// SourceDigest is the sha256 over the sources: for each, in order, the length of
// the name (8 bytes, little endian), the name, the length of the text likewise
// and the text.
func SourceDigest(sources []Source) [32]byte {
	h := sha256.New()
	var n [8]byte
	for _, s := range sources {
		for _, part := range []string{s.Name, s.Text} {
			binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
			h.Write(n[:])
			h.Write([]byte(part))
		}
	}
	return [32]byte(h.Sum(nil))
}

// Rule finds a rule by its ID. It returns nil if there is none.
func (m *Meta) Rule(id uint32) *Rule {
	i, ok := slices.BinarySearchFunc(m.Rules, id, func(r Rule, id uint32) int {
		return int(int64(r.ID) - int64(id))
	})
	if !ok {
		return nil
	}
	return &m.Rules[i]
}

// check verifies what relates several fields; the codec has checked each alone.
func (m *Meta) check() error {
	total := 0
	names := make(map[string]bool, len(m.Sources))
	for i, s := range m.Sources {
		total += len(s.Text)
		if names[s.Name] {
			return fmt.Errorf("%w: source %d has the name %q of an earlier one", ErrCorrupt, i, s.Name)
		}
		names[s.Name] = true
	}
	if total > MaxSourcesBytes {
		return fmt.Errorf("%w: sources of %d bytes, at most %d", ErrLimit, total, MaxSourcesBytes)
	}
	if m.Digest != SourceDigest(m.Sources) {
		return ErrDigest
	}
	for i := range m.Rules {
		r := &m.Rules[i]
		if i > 0 && r.ID <= m.Rules[i-1].ID {
			return fmt.Errorf("%w: rule id %d after %d", ErrCorrupt, r.ID, m.Rules[i-1].ID)
		}
		if uint64(r.File) >= uint64(len(m.Sources)) {
			return fmt.Errorf("%w: rule %d: source file number %d of %d", ErrCorrupt, r.ID, r.File, len(m.Sources))
		}
		if r.Line == 0 || r.Col == 0 {
			return fmt.Errorf("%w: rule %d has no position", ErrCorrupt, r.ID)
		}
	}
	return nil
}
