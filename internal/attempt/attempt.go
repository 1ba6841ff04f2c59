// Package attempt carries out operations by their real system calls and tells
// which events the kernel's hooks must see for them, for tests that compare
// the kernel's verdicts with the reference evaluator's.
//
// Input: an Attempt. Output: an Outcome: the error, and the events in the order
// of the hooks, with the values that the system itself gives for their fields.
// What a system call asks the kernel by the way, such as capabilities, is part
// of it. An Agent is a process that does attempts on command; it is the test
// binary itself, executed again (see Main).
//
// The knowledge of which hook sees what comes from the kernel's sources, 6.1
// and 6.12; nothing of it is shared with the compiler.
package attempt

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/lang/eval"
)

// Attempt is one thing to try.
type Attempt struct {
	Op string // see doers
	// Dir is where Path and To are looked up: "" for absolute paths, else one of
	// the folders that an Agent has open, by a relative name (DirDeep …).
	Dir    string `json:",omitempty"`
	Path   string `json:",omitempty"`
	To     string `json:",omitempty"`
	Flags  int    `json:",omitempty"`
	Mode   uint32 `json:",omitempty"`
	UID    int    `json:",omitempty"`
	GID    int    `json:",omitempty"`
	Family int    `json:",omitempty"`
	Type   int    `json:",omitempty"`
	Proto  int    `json:",omitempty"`
	Addr   string `json:",omitempty"`
	Port   int    `json:",omitempty"`
	Layout string `json:",omitempty"` // of the socket address: "", LayoutShort or LayoutUnspec
	Signal int    `json:",omitempty"`
	Target int    `json:",omitempty"` // pid
}

// Folders that an Agent opens before it is confined, in which names have no path.
const (
	DirDeep      = "deep"      // its path is longer than a path can be
	DirDead      = "dead"      // removed; the attempt is on the folder itself
	DirDetached  = "detached"  // of a filesystem that was unmounted
	DirElsewhere = "elsewhere" // /t/d, as another mount namespace has it
)

// Layouts of socket addresses other than the usual.
const (
	LayoutShort  = "short"  // the family and 4 bytes
	LayoutUnspec = "unspec" // the family is AF_UNSPEC
)

// Outcome is what came of an attempt.
type Outcome struct {
	Errno  unix.Errno
	Events []Event
	// Child is the process that an exec attempt made, 0 if it made none.
	Child int `json:",omitempty"`
	// ChildKilled tells that it was killed before it could say with what error.
	ChildKilled bool `json:",omitempty"`
	// Failed tells why the attempt could not be made at all; "" if it could.
	Failed string `json:",omitempty"`
}

// Event is what one hook must see.
type Event struct {
	Op       string
	Fields   map[string]Value
	Exchange bool `json:",omitempty"`
	// InChild tells that a child of the process causes the event.
	InChild bool `json:",omitempty"`
	// Errno is what the call fails with if the event is denied; 0: what the hook
	// returns. Some callers of hooks look only whether they agree.
	Errno unix.Errno `json:",omitempty"`
}

// Value is a field's value: one of the members.
type Value struct {
	Int        *int64  `json:",omitempty"`
	Bool       *bool   `json:",omitempty"`
	Text       *string `json:",omitempty"`
	Addr       *string `json:",omitempty"` // "" is no address
	Unresolved bool    `json:",omitempty"`
}

// Eval is the value for the evaluator.
func (v Value) Eval() eval.Value {
	switch {
	case v.Int != nil:
		return eval.Int(*v.Int)
	case v.Bool != nil:
		return eval.Bool(*v.Bool)
	case v.Text != nil:
		return eval.Text(*v.Text)
	case v.Addr != nil && *v.Addr == "":
		return eval.Addr(netip.Addr{})
	case v.Addr != nil:
		return eval.Addr(netip.MustParseAddr(*v.Addr))
	}
	return eval.Unresolved()
}

// Eval is the event for the evaluator.
func (e Event) Eval(subject map[string]eval.Value) eval.Event {
	out := eval.Event{Op: e.Op, Fields: map[string]eval.Value{}, Subject: subject, Exchange: e.Exchange}
	for name, v := range e.Fields {
		out.Fields[name] = v.Eval()
	}
	return out
}

func num[T ~int | ~int64 | ~uint32 | ~uint64 | ~uint16](v T) Value {
	i := int64(v)
	return Value{Int: &i}
}

func text(s string) Value { return Value{Text: &s} }

func truth(b bool) Value { return Value{Bool: &b} }

func address(a netip.Addr) Value {
	s := ""
	if a.IsValid() {
		s = a.String()
	}
	return Value{Addr: &s}
}

var unresolved = Value{Unresolved: true}

// String is short, for messages.
func (a Attempt) String() string {
	s := a.Op
	if a.Dir != "" {
		s += " in " + a.Dir
	}
	for _, p := range []string{a.Path, a.To, a.Addr, a.Layout} {
		if p != "" {
			s += " " + p
		}
	}
	for _, v := range []struct {
		name string
		v    int
	}{{"flags", a.Flags}, {"mode", int(a.Mode)}, {"uid", a.UID}, {"gid", a.GID}, {"family", a.Family}, {"type", a.Type}, {"proto", a.Proto}, {"port", a.Port}, {"signal", a.Signal}} {
		if v.v != 0 {
			s += fmt.Sprintf(" %s=%#o", v.name, v.v)
		}
	}
	return s
}
