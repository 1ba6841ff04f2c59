package difftest

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/internal/attempt"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/eval"
	"github.com/snappy-policy/snappy/runtime/audit"
)

// report is a record of the event ring, as far as the evaluator can tell.
type report struct {
	verdict, reason, op string
	layer, rule         int
	errno               string
	event               attempt.Event
}

// expectation is what an attempt should come to.
type expectation struct {
	errno   unix.Errno
	killed  bool
	reports []report
	events  int // that a policy was asked about
}

// predict works out what comes of an attempt under a stack of policies: natural
// is what came of it under none, confined tells the values of fields this time.
// child is the process that an execution made.
func predict(stack []*check.Policy, facts attempt.Facts, natural, confined attempt.Outcome, child int) expectation {
	want := expectation{errno: natural.Errno}
	for i, ev := range natural.Events {
		if i < len(confined.Events) {
			ev = confined.Events[i]
		}
		want.events++
		subject := facts.Subject(0)
		if ev.InChild {
			subject = facts.Subject(child)
		}
		for layer, v := range eval.DecideLayers(stack, ev.Eval(subject)) {
			if v.Audit != 0 {
				want.reports = append(want.reports, report{verdict: "audited", reason: "rule", op: v.AuditOp, layer: layer, rule: v.Audit, event: ev})
			}
			if v.Action == eval.Allow {
				continue
			}
			r := report{verdict: "denied", op: v.Op, layer: layer, rule: v.RuleID, errno: unix.ErrnoName(unix.Errno(v.Errno)), event: ev}
			r.reason = map[eval.Reason]string{eval.ByRule: "rule", eval.ByDefault: "default", eval.ByUnresolved: "unresolved"}[v.Reason]
			if v.Action == eval.Kill {
				r.verdict = "killed"
				want.killed = true
			}
			want.reports = append(want.reports, r)
			if want.errno = ev.Errno; want.errno == 0 {
				want.errno = unix.Errno(v.Errno)
			}
			return want
		}
	}
	return want
}

// differs compares a report with the kernel's; "" if they agree.
func (r report) differs(e *audit.Event, facts attempt.Facts, child int) string {
	var out []string
	compare := func(what string, want, got any) {
		if want != got {
			out = append(out, fmt.Sprintf("%s: want %v, got %v", what, want, got))
		}
	}
	rule := 0
	if e.Rule != nil {
		rule = int(e.Rule.ID)
	}
	compare("verdict", r.verdict, e.Verdict)
	compare("reason", r.reason, e.Reason)
	compare("operation", r.op, e.Operation)
	compare("layer", r.layer, e.Layer)
	compare("rule", r.rule, rule)
	compare("errno", r.errno, e.Errno)
	pid, tid, ppid := facts.PID, facts.TID, facts.PPID
	if r.event.InChild {
		pid, tid, ppid = child, child, facts.PID
	}
	compare("pid", pid, int(e.PID))
	compare("tid", tid, int(e.TID))
	compare("ppid", ppid, int(e.PPID))
	compare("uid", facts.UID, int(e.UID))
	compare("comm", facts.Comm, e.Comm)
	for _, p := range []struct {
		field string
		got   *audit.Path
	}{{"path", e.Path}, {"to", e.To}} {
		v, ok := r.event.Fields[p.field]
		switch {
		case !ok:
			compare(p.field, (*audit.Path)(nil), p.got)
		case p.got == nil:
			compare(p.field, "a path", nil)
		case v.Unresolved:
			compare(p.field+" unresolved", true, p.got.Unresolved)
		case p.got.Truncated:
			compare(p.field+" ends", true, strings.HasSuffix(*v.Text, p.got.Text))
		default:
			compare(p.field, *v.Text, p.got.Text)
			compare(p.field+" unresolved", false, p.got.Unresolved)
		}
	}
	for _, a := range e.Args {
		v, ok := r.event.Fields[a.Name]
		switch {
		case !ok:
			compare(a.Name, "no argument", a.Value)
		case v.Int != nil:
			compare(a.Name, *v.Int, a.Value)
		case v.Unresolved:
			compare(a.Name, int64(0), a.Value)
		}
	}
	return strings.Join(out, "; ")
}

func (r report) String() string {
	return fmt.Sprintf("%s %s by layer %d rule %d (%s) %s", r.verdict, r.op, r.layer, r.rule, r.reason, r.errno)
}
