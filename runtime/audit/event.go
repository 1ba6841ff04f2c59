// Package audit turns what the kernel reported into events that name the rule.
//
// Input: records of the ring buffer (kernel/abi.Event) and the descriptions of
// the loaded policies (compiler/object.Meta). Output: Events, as values, as
// one line of text, or as JSON.
package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// Event is one report of the kernel: a denial, or a match of an audit rule.
// Its JSON form is the output of `snappyc events --format json`.
type Event struct {
	Time      time.Time `json:"time"`      // from the kernel's boot clock
	Verdict   string    `json:"verdict"`   // "denied", "killed" or "audited"
	Reason    string    `json:"reason"`    // "rule", "default", "unresolved", "no-policy" or "broken"
	Operation string    `json:"operation"` // "" if the dispatcher denied before any policy
	Hook      string    `json:"hook"`      // LSM hook
	Errno     string    `json:"errno,omitempty"`
	Namespace uint64    `json:"namespace"`
	Layer     int       `json:"layer"` // 0 is the outermost
	PolicyID  uint64    `json:"policyId,omitempty"`
	Policy    string    `json:"policy,omitempty"`
	Rule      *Rule     `json:"rule,omitempty"`
	PID       uint32    `json:"pid"`
	TID       uint32    `json:"tid"`
	PPID      uint32    `json:"ppid"`
	UID       uint32    `json:"uid"`
	Comm      string    `json:"comm"`
	Path      *Path     `json:"path,omitempty"`
	To        *Path     `json:"to,omitempty"`
	Args      []Arg     `json:"args,omitempty"` // the hook's numeric fields, in the order of its table
}

// Rule is the rule that decided.
type Rule struct {
	ID      uint32 `json:"id"`
	Verb    string `json:"verb"`
	Name    string `json:"name,omitempty"`
	File    string `json:"file"`
	Line    uint32 `json:"line"`
	Text    string `json:"text,omitempty"`
	Because string `json:"because,omitempty"`
}

// Path is a path of the event. JSON holds valid UTF-8 only: other bytes of Text
// appear as U+FFFD there, and Quoted, which is then set, has them as escapes.
type Path struct {
	Text       string `json:"text"`
	Quoted     string `json:"quoted,omitempty"`     // Go syntax; only if Text is not valid UTF-8
	Truncated  bool   `json:"truncated,omitempty"`  // only the last abi.EventPathBytes bytes are known
	Unresolved bool   `json:"unresolved,omitempty"` // the kernel could not give it
}

// Arg is a numeric field of the event.
type Arg struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

// Policies finds the description of a loaded policy by the id that events
// carry; nil if it is not known any more.
type Policies func(id uint64) *object.Meta

// ErrRecord is a record that is no event of this ABI version.
var ErrRecord = errors.New("not an event record")

var verdicts = map[uint8]string{abi.VerdictDeny: "denied", abi.VerdictKill: "killed", abi.VerdictAudit: "audited"}

var reasons = map[uint8]string{abi.ReasonRule: "rule", abi.ReasonDefault: "default", abi.ReasonUnresolved: "unresolved",
	abi.ReasonNoPolicy: "no-policy", abi.ReasonBroken: "broken"}

// boot is the wall-clock time at which the kernel's boot clock was 0.
func boot() time.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(ts.Nano()))
}

// Decode reads a record of the ring buffer. A rule or policy that is not known
// leaves the event with their numbers.
func Decode(record []byte, policies Policies) (*Event, error) {
	if len(record) < abi.EventHeader {
		return nil, fmt.Errorf("%w: %d bytes", ErrRecord, len(record))
	}
	var raw abi.Event
	full := make([]byte, abi.EventMax)
	copy(full, record)
	if err := binary.Read(bytes.NewReader(full), binary.LittleEndian, &raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	hooks := hook.Hooks()
	if raw.Version != 1 || verdicts[raw.Verdict] == "" || reasons[raw.Reason] == "" || int(raw.Hook) >= len(hooks) {
		return nil, fmt.Errorf("%w: version %d, verdict %d, reason %d, hook %d", ErrRecord, raw.Version, raw.Verdict, raw.Reason, raw.Hook)
	}
	h := hooks[raw.Hook]
	comm, _, _ := bytes.Cut(raw.Comm[:], []byte{0})
	e := &Event{
		Time: boot().Add(time.Duration(raw.Time)), Verdict: verdicts[raw.Verdict], Reason: reasons[raw.Reason], Hook: h.Name,
		Namespace: raw.Namespace, Layer: int(raw.Layer), PolicyID: raw.Policy,
		PID: raw.PID, TID: raw.TID, PPID: raw.PPID, UID: raw.UID, Comm: string(comm),
	}
	if raw.Errno != 0 {
		if e.Errno = unix.ErrnoName(unix.Errno(raw.Errno)); e.Errno == "" {
			e.Errno = strconv.Itoa(int(raw.Errno))
		}
	}
	if ops := hook.Operations(); int(raw.Op) < len(ops) {
		e.Operation = ops[raw.Op]
	}
	if raw.Policy != 0 {
		for i, name := range h.EventArgs {
			e.Args = append(e.Args, Arg{name, int64(raw.Args[i])})
		}
		for _, f := range h.Fields {
			switch f.Name {
			case "path":
				e.Path = path(raw.Data[:abi.EventPathBytes], raw.Path0Len)
			case "to":
				e.To = path(raw.Data[abi.EventPathBytes:], raw.Path1Len)
			}
		}
		e.resolve(raw.Rule, policies)
	}
	return e, nil
}

func path(data []byte, length uint16) *Path {
	if length&abi.EventUnresolved != 0 {
		return &Path{Unresolved: true}
	}
	n := min(int(length&^(abi.EventTruncated|abi.EventUnresolved)), abi.EventPathBytes)
	p := &Path{Text: string(data[:n]), Truncated: length&abi.EventTruncated != 0}
	if !utf8.ValidString(p.Text) {
		p.Quoted = strconv.Quote(p.Text)
	}
	return p
}

func (e *Event) resolve(rule uint32, policies Policies) {
	if rule != 0 {
		e.Rule = &Rule{ID: rule}
	}
	var meta *object.Meta
	if policies != nil {
		meta = policies(e.PolicyID)
	}
	if meta == nil {
		return
	}
	e.Policy = meta.Policy
	if r := meta.Rule(rule); r != nil {
		e.Rule = &Rule{ID: rule, Verb: r.Verb, Name: r.Name, File: meta.Sources[r.File].Name, Line: r.Line, Text: r.Text, Because: r.Because}
	}
}

// String is one line without newline, as `snappyc run` prints it:
//
//	denied file.open /etc/shadow by nginx.snp:31 (secrets) pid 412 cat
//
// Whatever a program could choose, such as names, is quoted if it is not
// plain text, so that no program can forge lines.
func (e *Event) String() string {
	var b strings.Builder
	b.WriteString(e.Verdict)
	b.WriteByte(' ')
	if e.Operation != "" {
		b.WriteString(e.Operation)
	} else {
		b.WriteString(e.Hook)
	}
	for i, p := range []*Path{e.Path, e.To} {
		if p == nil {
			continue
		}
		if i == 1 {
			b.WriteString(" ->")
		}
		b.WriteByte(' ')
		b.WriteString(p.String())
	}
	if e.Path == nil {
		for _, a := range e.Args {
			fmt.Fprintf(&b, " %s=%d", a.Name, a.Value)
		}
	}
	b.WriteString(" by ")
	switch {
	case e.Reason == "no-policy":
		b.WriteString("a policy that is not loaded")
	case e.Reason == "broken":
		b.WriteString("an inconsistent namespace record")
	case e.Rule == nil:
		fmt.Fprintf(&b, "policy %d", e.PolicyID)
	case e.Rule.File == "":
		fmt.Fprintf(&b, "policy %d rule %d", e.PolicyID, e.Rule.ID)
	default:
		fmt.Fprintf(&b, "%s:%d", plain(e.Rule.File), e.Rule.Line)
		if e.Rule.Name != "" {
			fmt.Fprintf(&b, " (%s)", e.Rule.Name)
		}
	}
	switch e.Reason {
	case "default":
		b.WriteString(" default")
	case "unresolved":
		b.WriteString(" unresolved")
	}
	fmt.Fprintf(&b, " pid %d %s", e.PID, plain(e.Comm))
	return b.String()
}

// String is the path as text: "-" if unresolved, `""` if unnamed, "…" before a
// path whose beginning was cut.
func (p *Path) String() string {
	switch {
	case p.Unresolved:
		return "-"
	case p.Truncated:
		return "…" + plain(p.Text)
	}
	return plain(p.Text)
}

// plain quotes what could be mistaken for something else in a line of text.
func plain(s string) string {
	odd := func(r rune) bool { return r == utf8.RuneError || r == '"' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if s == "" || strings.IndexFunc(s, odd) >= 0 {
		return strconv.Quote(s)
	}
	return s
}
