package eval_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/eval"
	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// kindOfEvent is what a generated policy is about: operations with fields of
// their own, and events of them.
type kindOfEvent struct {
	ops    []string // for rules
	event  string
	fields []string // path, to, port, addr, access
}

var kinds = []kindOfEvent{
	{[]string{"file.open", "file.read", "file.write", "file.see"}, "file.open", []string{"path", "access"}},
	{[]string{"file.rename", "file.change"}, "file.rename", []string{"path", "to"}},
	{[]string{"net.connect"}, "net.connect", []string{"port", "addr"}},
	{[]string{"exec"}, "exec", []string{"path"}},
}

// leaves are conditions that the operations of the kind all have.
func (k kindOfEvent) leaves(op string) []string {
	out := []string{"uid == 0", "uid in 1..2", "gid != uid", "comm == \"a\"", "comm matches \"?\""}
	switch op {
	case "net.connect":
		return append(out, "port == 80", "port > 80", "addr in 10.0.0.0/8", "addr == ::1")
	case "file.rename":
		out = append(out, "to == \"/a\"", "to under \"/a\"")
	case "file.open", "file.read", "file.write", "file.see":
		out = append(out, "access has write", "access has read", "deleted")
	}
	return append(out, "path == \"/a\"", "path under \"/a\"", "path matches \"/*\"", "path in { \"/b\", \"/a/*\" }")
}

func genCond(t *rapid.T, leaves []string, depth int) string {
	if depth == 0 || rapid.IntRange(0, 2).Draw(t, "stop") == 0 {
		return rapid.SampledFrom(leaves).Draw(t, "leaf")
	}
	x := genCond(t, leaves, depth-1)
	switch rapid.IntRange(0, 2).Draw(t, "form") {
	case 0:
		return "not (" + x + ")"
	case 1:
		return "(" + x + " and " + genCond(t, leaves, depth-1) + ")"
	}
	return "(" + x + " or " + genCond(t, leaves, depth-1) + ")"
}

func genRule(t *rapid.T, k kindOfEvent, verbs ...string) string {
	op := rapid.SampledFrom(k.ops).Draw(t, "op")
	rule := rapid.SampledFrom(verbs).Draw(t, "verb") + " " + op
	if rapid.IntRange(0, 5).Draw(t, "unconditional") > 0 {
		rule += " when " + genCond(t, k.leaves(op), 3)
	}
	if rapid.IntRange(0, 3).Draw(t, "unless") == 0 {
		rule += " unless " + genCond(t, k.leaves(op), 2)
	}
	return rule
}

// genRules gives rules with unique names, so that a rule is known whatever its ID.
func genRules(t *rapid.T, k kindOfEvent) []string {
	n := rapid.IntRange(0, 6).Draw(t, "rules")
	var rules []string
	for range n {
		rules = append(rules, genRule(t, k, "allow", "deny", "kill", "audit"))
	}
	for _, op := range append([]string{""}, k.ops...) {
		switch rapid.IntRange(0, 5).Draw(t, "default") {
		case 0:
			rules = append(rules, strings.TrimSuffix("default deny for "+op, " for "))
		case 1:
			rules = append(rules, strings.TrimSuffix("default allow for "+op, " for "))
		}
	}
	return rules
}

func genValue(t *rapid.T, field string) eval.Value {
	if field != "access" && rapid.IntRange(0, 4).Draw(t, "unresolved") == 0 {
		return eval.Unresolved()
	}
	switch field {
	case "path", "to":
		return eval.Text(rapid.SampledFrom([]string{"", "/", "/a", "/a/x", "/a/x/y", "/b", "/ab"}).Draw(t, field))
	case "port":
		return eval.Int(rapid.SampledFrom([]int64{0, 79, 80, 81, 65535}).Draw(t, field))
	case "addr":
		return eval.Addr(rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("::1"), netip.MustParseAddr("::ffff:10.0.0.1")}).Draw(t, field))
	}
	return eval.Int(rapid.Int64Range(0, 3).Draw(t, field))
}

func genEvent(t *rapid.T, k kindOfEvent) eval.Event {
	ev := eval.Event{Op: k.event, Fields: map[string]eval.Value{}, Subject: map[string]eval.Value{
		"uid":  eval.Int(rapid.Int64Range(0, 3).Draw(t, "uid")),
		"gid":  eval.Int(rapid.Int64Range(0, 3).Draw(t, "gid")),
		"comm": eval.Text(rapid.SampledFrom([]string{"", "a", "b", "ab"}).Draw(t, "comm")),
	}}
	for _, f := range k.fields {
		ev.Fields[f] = genValue(t, f)
	}
	ev.Exchange = k.event == "file.rename" && rapid.Bool().Draw(t, "exchange")
	return ev
}

// tryPolicy checks rules; nil if the checker refuses them.
func tryPolicy(t require.TestingT, rules []string) *check.Policy {
	text := "policy p\n" + strings.Join(rules, "\n") + "\n"
	tree, errs := parser.Parse(source.New("p.snp", text))
	require.Empty(t, errs, text)
	p, _ := check.Tree(tree, map[*ast.ImportStmt]*ast.File{}, types.Language())
	return p
}

// strength orders actions from allowing to killing.
func strength(v eval.Verdict) int { return int(v.Action) }

type world struct {
	kind  kindOfEvent
	rules []string
	p     *check.Policy
	ev    eval.Event
	v     eval.Verdict
}

func genWorld(t *rapid.T) world {
	w := world{kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	w.rules = genRules(t, w.kind)
	w.p = tryPolicy(t, w.rules)
	if w.p == nil {
		t.Skip("defaults clash")
	}
	w.ev = genEvent(t, w.kind)
	w.v = eval.Decide(w.p, w.ev)
	return w
}

// with is the verdict with one more rule.
func (w world) with(t *rapid.T, rule string) eval.Verdict {
	p := tryPolicy(t, append(w.rules[:len(w.rules):len(w.rules)], rule))
	require.NotNil(t, p, "%v + %s", w.rules, rule)
	return eval.Decide(p, w.ev)
}

func TestOrderNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		shuffled := rapid.Permutation(w.rules).Draw(t, "order")
		v := eval.Decide(tryPolicy(t, shuffled), w.ev)
		require.Equal(t, w.v.Action, v.Action)
		require.Equal(t, w.v.Reason, v.Reason)
		require.Equal(t, w.v.Audit > 0, v.Audit > 0)
	})
}

func TestMoreRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		require.GreaterOrEqual(t, strength(w.with(t, genRule(t, w.kind, "deny", "kill"))), strength(w.v), "a deny never widens")
		require.LessOrEqual(t, strength(w.with(t, genRule(t, w.kind, "allow"))), strength(w.v), "an allow never narrows")
		audited := w.with(t, genRule(t, w.kind, "audit"))
		require.Equal(t, w.v.Action, audited.Action, "an audit changes nothing")
		require.Equal(t, w.v.Reason, audited.Reason)
		require.Equal(t, w.v.RuleID, audited.RuleID)
	})
}

// What an unresolved value allows, every value would allow; and what is killed
// is killed whatever the value.
func TestUnresolvedFailsClosed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		known := w.ev
		known.Fields = map[string]eval.Value{}
		for _, f := range w.kind.fields {
			v := w.ev.Fields[f]
			for v == eval.Unresolved() {
				v = genValue(t, f)
			}
			known.Fields[f] = v
		}
		v := eval.Decide(w.p, known)
		require.NotEqual(t, eval.ByUnresolved, v.Reason)
		switch {
		case w.v.Action == eval.Allow:
			require.Equal(t, eval.Allow, v.Action)
		case w.v.Action == eval.Kill:
			require.Equal(t, eval.Kill, v.Action)
		case w.v.Reason == eval.ByRule:
			require.NotEqual(t, eval.Allow, v.Action)
		}
	})
}

// A stack allows what each of its policies allows.
func TestStackOnlyRestricts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		other := tryPolicy(t, genRules(t, w.kind))
		if other == nil {
			t.Skip("defaults clash")
		}
		for _, stack := range [][]*check.Policy{{w.p, other}, {other, w.p}} {
			layer, v := eval.DecideStack(stack, w.ev)
			a, b := eval.Decide(stack[0], w.ev), eval.Decide(stack[1], w.ev)
			switch {
			case a.Action != eval.Allow:
				require.Equal(t, 0, layer)
				require.Equal(t, brief(a), brief(v))
			case b.Action != eval.Allow:
				require.Equal(t, 1, layer)
				require.Equal(t, brief(b), brief(v))
			default:
				require.Equal(t, -1, layer)
				require.Equal(t, eval.Allow, v.Action)
			}
		}
	})
}

// A rule over a group says of two paths what it says of each: deny of either,
// allow of both.
func TestGroupsStandForEachPath(t *testing.T) {
	k := kinds[1]
	rapid.Check(t, func(t *rapid.T) {
		cond := genCond(t, k.leaves("file.change"), 3)
		onTo := strings.ReplaceAll(cond, "path", "to")
		verb := rapid.SampledFrom([]string{"allow", "deny", "kill", "audit"}).Draw(t, "verb")
		word := "or"
		if verb == "allow" {
			word = "and"
		}
		group := tryPolicy(t, []string{"default deny for file.rename", verb + " file.change when " + cond})
		named := tryPolicy(t, []string{"default deny for file.rename", fmt.Sprintf("%s file.rename when (%s) %s (%s)", verb, cond, word, onTo)})
		ev := genEvent(t, k)
		require.Equal(t, brief(eval.Decide(named, ev)), brief(eval.Decide(group, ev)), "%s %s", verb, cond)
	})
}

// Ways to write the same.
func TestSameMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(kinds).Draw(t, "kind")
		op := rapid.SampledFrom(k.ops).Draw(t, "op")
		a, b := genCond(t, k.leaves(op), 2), genCond(t, k.leaves(op), 2)
		verb := rapid.SampledFrom([]string{"allow", "deny", "kill"}).Draw(t, "verb")
		ev := genEvent(t, k)
		first := ""
		for i, form := range []string{
			"%[1]s %[2]s when %[3]s and not (%[4]s)",
			"%[1]s %[2]s when %[3]s unless %[4]s",
			"when %[3]s {\n %[1]s %[2]s unless %[4]s\n}",
			"when %[3]s {\n when not (%[4]s) {\n %[1]s %[2]s\n }\n}",
			"%[1]s %[2]s when not (not (%[3]s) or %[4]s)",
			"%[1]s %[2]s when true and (%[3]s or false) and not (%[4]s)",
			"when true {\n %[1]s %[2]s unless not (%[3]s) or (%[4]s)\n}",
		} {
			p := tryPolicy(t, []string{"default deny for " + op, fmt.Sprintf(form, verb, op, a, b)})
			require.NotNil(t, p)
			got := brief(eval.Decide(p, ev))
			if i == 0 {
				first = got
			}
			require.Equal(t, first, got, form)
		}
	})
}

func genInt(t *rapid.T, depth int) string {
	if depth == 0 || rapid.IntRange(0, 3).Draw(t, "stop") == 0 {
		return rapid.SampledFrom([]string{"uid", "gid", "0", "1", "7", "-1", "1000000007", "9223372036854775807", "-9223372036854775808", "CAP_KILL"}).Draw(t, "leaf")
	}
	op := rapid.SampledFrom([]string{"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"}).Draw(t, "op")
	right := genInt(t, depth-1)
	switch op {
	case "/", "%":
		right = rapid.SampledFrom([]string{"1", "-1", "2", "-3", "1000"}).Draw(t, "divisor")
	case "<<", ">>":
		right = rapid.SampledFrom([]string{"0", "1", "31", "63"}).Draw(t, "count")
	}
	if rapid.IntRange(0, 5).Draw(t, "negate") == 0 {
		return "-(" + genInt(t, depth-1) + " " + op + " " + right + ")"
	}
	return "(" + genInt(t, depth-1) + " " + op + " " + right + ")"
}

// What the checker folds, the evaluator works out alike: a condition with the
// values of fields written in has the verdict that it has with the fields.
func TestFoldingAgreesWithEvaluation(t *testing.T) {
	folded := 0
	rapid.Check(t, func(t *rapid.T) {
		x, y := genInt(t, 3), genInt(t, 2)
		x = strings.ReplaceAll(x, "CAP_KILL", "5") // fields of no enum are compared
		y = strings.ReplaceAll(y, "CAP_KILL", "5")
		op := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(t, "compare")
		u, g := rapid.Int64Range(0, 1<<32-1).Draw(t, "uid"), rapid.Int64Range(0, 70).Draw(t, "gid")
		cond := x + " " + op + " " + y
		p := tryPolicy(t, []string{"deny exec when " + cond})
		constant := strings.NewReplacer("uid", fmt.Sprint(u), "gid", fmt.Sprint(g)).Replace(cond)
		q := tryPolicy(t, []string{"deny exec when " + constant})
		if p == nil || q == nil {
			t.Skip("a constant overflows")
		}
		folded++
		ev := eval.Event{Op: "exec", Subject: map[string]eval.Value{"uid": eval.Int(u), "gid": eval.Int(g)}}
		require.Equal(t, eval.Decide(q, ev).Action, eval.Decide(p, ev).Action, "%s with uid=%d gid=%d", cond, u, g)
	})
	require.Positive(t, folded)
}
