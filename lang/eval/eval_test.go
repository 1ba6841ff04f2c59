package eval_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/eval"
	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// policy checks rules, with `policy p` before them.
func policy(t testing.TB, rules string) *check.Policy {
	t.Helper()
	tree, errs := parser.Parse(source.New("p.snp", "policy p\n"+rules))
	require.Empty(t, errs, rules)
	p, list := check.Tree(tree, map[*ast.ImportStmt]*ast.File{}, types.Language())
	require.False(t, list.HasErrors(), "%s\n%v", rules, list)
	return p
}

// event reads "file.open path=/x access=3 uid=0": ints, true, false, addresses
// after @, ? for unresolved, anything else text. `exchange` stands alone.
func event(t testing.TB, text string) eval.Event {
	t.Helper()
	words := strings.Fields(text)
	ev := eval.Event{Op: words[0], Fields: map[string]eval.Value{}, Subject: map[string]eval.Value{}}
	for _, w := range words[1:] {
		if w == "exchange" {
			ev.Exchange = true
			continue
		}
		name, s, ok := strings.Cut(w, "=")
		require.True(t, ok, w)
		var v eval.Value
		var n int64
		switch _, err := fmt.Sscan(s, &n); {
		case s == "?":
			v = eval.Unresolved()
		case s == "true" || s == "false":
			v = eval.Bool(s == "true")
		case s == "@none":
			v = eval.Addr(netip.Addr{})
		case strings.HasPrefix(s, "@"):
			v = eval.Addr(netip.MustParseAddr(s[1:]))
		case err == nil && fmt.Sprint(n) == s:
			v = eval.Int(n)
		default:
			v = eval.Text(s)
		}
		if types.Language().SubjectField(name) != nil {
			ev.Subject[name] = v
		} else {
			ev.Fields[name] = v
		}
	}
	return ev
}

// brief is a verdict as the table below writes it.
func brief(v eval.Verdict) string {
	s := fmt.Sprintf("%s %s %d", v.Action, v.Reason, v.RuleID)
	if v.Errno != 0 {
		s += fmt.Sprintf(" errno %d", v.Errno)
	}
	if v.Audit != 0 {
		s += fmt.Sprintf(" audit %d", v.Audit)
	}
	return s
}

const (
	acces = " errno 13"
	perm  = " errno 1"
)

// rename rules: 1 a deny over a group, 2 an allow over a group, 3 the default.
const renames = `deny file.change when path under "/etc"
allow file.change when path under "/srv"
default deny for file.change
`

var table = []struct{ rules, event, want string }{
	// Nothing declared.
	{"", "exec path=/x", "allow default 0"},
	{"deny net.bind", "exec path=/x", "allow default 0"},
	// Defaults and how specific they are.
	{"default deny", "exec path=/x", "deny default 1" + acces},
	{"default deny", "capability cap=1", "deny default 1" + perm},
	{"default deny\ndefault allow for file.see", "file.open path=/x", "allow default 2"},
	{"default deny\ndefault allow for file.see\ndefault deny for file.read", "file.open path=/x access=1", "deny default 3" + acces},
	{"default deny\ndefault allow for file.see\ndefault deny for file.read", "file.open path=/x access=2", "deny default 1" + acces},
	{"default deny for file.change\ndefault allow for file.write", "file.write path=/x", "allow default 0"},
	{"default allow\ndefault deny for file.change", "file.open path=/x access=3", "deny default 2" + acces},
	// Rules and their classes.
	{"default deny\nallow exec when path == \"/x\"", "exec path=/x", "allow rule 2"},
	{"default deny\nallow exec when path == \"/x\"", "exec path=/y", "deny default 1" + acces},
	{"allow exec\ndeny exec when uid == 0", "exec path=/x", "deny rule 2" + acces},
	{"allow exec\ndeny exec when uid == 0", "exec path=/x uid=1", "allow rule 1"},
	{"deny exec\nkill exec when uid == 0", "exec path=/x", "kill rule 2" + acces},
	{"deny exec\nkill exec when uid == 0", "exec path=/x uid=7", "deny rule 1" + acces},
	{"deny exec errno ENOENT\ndeny exec errno EPERM", "exec path=/x", "deny rule 1 errno 2"},
	{"kill exec errno ENOENT", "exec path=/x", "kill rule 1 errno 2"},
	{"deny capability when cap == CAP_KILL", "capability cap=5", "deny rule 1" + perm},
	{"deny process.signal when signal == SIGKILL", "process.signal signal=9", "deny rule 1" + perm},
	// An open is up to three operations.
	{"deny file.read", "file.open path=/x access=1", "deny rule 1" + acces},
	{"deny file.read", "file.open path=/x access=2", "allow default 0"},
	{"deny file.write", "file.open path=/x access=3", "deny rule 1" + acces},
	{"deny file.open when access has exec", "file.open path=/x access=8", "deny rule 1" + acces},
	{"default deny for file.write\nallow file.open, file.read", "file.open path=/x access=3", "deny default 1" + acces},
	{"default deny for file.read, file.write\nallow file.see\nallow file.write when path == \"/x\"", "file.open path=/x access=3", "allow rule 2"},
	{"deny file.write errno ENOENT\ndeny file.open", "file.open path=/x access=2", "deny rule 1 errno 2"},
	{"deny file.open\nkill file.write", "file.open path=/x access=2", "kill rule 2" + acces},
	{"deny file.write when append", "file.write path=/x append=true", "deny rule 1" + acces},
	{"deny file.read", "file.read path=/x", "deny rule 1" + acces},
	{"deny file.open when access has read", "file.read path=/x", "deny rule 1" + acces},
	// Groups and operations with two paths.
	{renames, "file.rename path=/srv/a to=/srv/b", "allow rule 2"},
	{renames, "file.rename path=/srv/a to=/tmp/b", "deny default 3" + acces},
	{renames, "file.rename path=/tmp/a to=/srv/b", "deny default 3" + acces},
	{renames, "file.rename path=/srv/a to=/etc/b", "deny rule 1" + acces},
	{renames, "file.link path=/etc/a to=/srv/b", "deny rule 1" + acces},
	{"audit file.change when path under \"/etc\"", "file.rename path=/x to=/etc/b", "allow default 0 audit 1"},
	{"kill file.change when not path under \"/srv\"", "file.rename path=/srv/a to=/x", "kill rule 1" + acces},
	{"deny file.rename when path under \"/etc\"", "file.rename path=/x to=/etc/b", "allow default 0"},
	{"deny file.rename when to under \"/etc\"", "file.rename path=/x to=/etc/b", "deny rule 1" + acces},
	{"deny file.rename when path under \"/etc\"", "file.rename path=/x to=/etc/b exchange", "deny rule 1" + acces},
	{"default deny for file.rename\nallow file.rename when path == \"/a\" and to == \"/b\"", "file.rename path=/a to=/b", "allow rule 2"},
	{"default deny for file.rename\nallow file.rename when path == \"/a\" and to == \"/b\"", "file.rename path=/a to=/b exchange", "deny default 1" + acces},
	// Unresolved values: deny, never kill, never allow.
	{"deny exec when path == \"/x\"", "exec path=?", "deny unresolved 1" + acces},
	{"kill exec when path == \"/x\" errno ENOENT", "exec path=?", "deny unresolved 1 errno 2"},
	{"deny exec when path == \"/x\"\nkill exec when uid == 0", "exec path=?", "kill rule 2" + acces},
	{"kill exec when path == \"/x\"\ndeny exec when uid == 0", "exec path=?", "deny rule 2" + acces},
	{"allow exec when path == \"/x\"\ndefault deny for exec", "exec path=?", "deny unresolved 1" + acces},
	{"allow exec when path == \"/x\"\nallow exec when uid == 0\ndefault deny for exec", "exec path=?", "allow rule 2"},
	{"allow exec when path == \"/x\"", "exec path=?", "allow default 0"},
	{"deny exec when path == \"/x\" and uid == 1", "exec path=?", "allow default 0"},
	{"deny exec when path == \"/x\" or uid == 0", "exec path=?", "deny rule 1" + acces},
	{"deny exec unless path == \"/x\"", "exec path=?", "deny unresolved 1" + acces},
	{"audit exec when path == \"/x\"", "exec path=?", "allow default 0"},
	{"deny net.connect when port == 80", "net.connect port=?", "deny unresolved 1" + acces},
	{"deny net.connect when port + 1 < type", "net.connect port=? type=1", "deny unresolved 1" + acces},
	{renames, "file.rename path=? to=/etc/b", "deny rule 1" + acces},
	{renames, "file.rename path=? to=/srv/b", "deny unresolved 1" + acces},
	{"allow file.change when path under \"/srv\"\ndefault deny for file.change", "file.rename path=? to=/tmp/b", "deny default 2" + acces},
	{"allow file.change when path under \"/srv\"\ndefault deny for file.change", "file.rename path=? to=/srv/b", "deny unresolved 1" + acces},
	{"default deny\nallow file.read when path == \"/x\"\nallow file.open", "file.open path=? access=1", "deny unresolved 2" + acces},
	// Audit.
	{"audit exec\naudit exec", "exec path=/x", "allow default 0 audit 1"},
	{"deny exec\naudit exec when uid == 0", "exec path=/x", "deny rule 1" + acces + " audit 2"},
	{"audit file.write", "file.open path=/x access=2", "allow default 0 audit 1"},
	// Missing values have defaults.
	{"deny exec when uid == 0 and path == \"\" and not setid and comm == \"\"", "exec", "deny rule 1" + acces},
	{"deny net.connect when addr in { 0.0.0.0/0, ::/0 }", "net.connect", "allow default 0"},
	{"deny net.connect unless addr in 127.0.0.0/8", "net.connect family=1", "deny rule 1" + acces},
	// Leaves.
	{"deny net.connect when addr in 10.0.0.0/8", "net.connect addr=@::ffff:10.1.2.3", "deny rule 1" + acces},
	{"deny net.connect when addr in ::/0", "net.connect addr=@10.1.2.3", "allow default 0"},
	{"deny net.connect when addr != 10.0.0.1", "net.connect addr=@10.0.0.1", "allow default 0"},
	{"deny exec when caps has CAP_SYS_ADMIN", "exec caps=2097152", "deny rule 1" + acces},
	{"deny file.open when flags has O_CREAT | O_EXCL", "file.open flags=64", "allow default 0"},
	{"deny file.open when flags has O_CREAT | O_EXCL", "file.open flags=193", "deny rule 1" + acces},
	{"deny exec when path under \"/srv\"", "exec path=/srv", "deny rule 1" + acces},
	{"deny exec when path under \"/srv\"", "exec path=/srvx", "allow default 0"},
	{"deny exec when path under \"/\"", "exec path=/", "deny rule 1" + acces},
	{"deny exec when path under \"/\"", "exec path=", "allow default 0"},
	{"deny exec when path matches \"/srv/**\"", "exec path=/srv", "allow default 0"},
	{"deny exec when comm matches \"php*\"", "exec comm=php-fpm", "deny rule 1" + acces},
	{"deny file.symlink when target == \"../x\"", "file.symlink path=/a target=../x", "deny rule 1" + acces},
	{"deny exec when uid == owner", "exec uid=5 owner=5", "deny rule 1" + acces},
	{"deny exec when uid - 10 < 0", "exec uid=5", "deny rule 1" + acces},
	{"deny exec when uid << 63 < 0", "exec uid=1", "deny rule 1" + acces},
	{"deny exec when (gid - 10) >> 1 == -5", "exec gid=0", "deny rule 1" + acces},
	{"deny exec when uid >> gid == 2", "exec uid=4 gid=65", "deny rule 1" + acces},
	{"deny exec when (gid - 10) / 3 == -3 and (gid - 10) % 3 == -1", "exec gid=0", "deny rule 1" + acces},
	{"deny exec when uid / -1 == -3 and uid % -1 == 0", "exec uid=3", "deny rule 1" + acces},
	{"deny exec when setid == memfd", "exec setid=true memfd=true", "deny rule 1" + acces},
	{"deny exec when setid != memfd", "exec setid=true memfd=true", "allow default 0"},
	{"when uid == 0 {\n when not setid { deny exec unless comm == \"x\" }\n}", "exec comm=y", "deny rule 1" + acces},
	// Events that are none.
	{"", "file.setxattr", "deny invalid event 0" + perm},
	{"", "no.such", "deny invalid event 0" + perm},
	// A value of another type is unresolved.
	{"deny exec when path == \"/x\"", "exec path=5", "deny unresolved 1" + acces},
}

func TestDecide(t *testing.T) {
	require.Greater(t, len(table), 80)
	for i, c := range table {
		p := policy(t, c.rules)
		v := eval.Decide(p, event(t, c.event))
		require.Equal(t, c.want, brief(v), "case %d:\n%s\n%s", i, c.rules, c.event)
		switch {
		case v.Rule != nil:
			require.Equal(t, v.RuleID, v.Rule.ID)
			require.Nil(t, v.Default)
		case v.Default != nil:
			require.Equal(t, v.RuleID, v.Default.ID)
		default:
			require.Zero(t, v.RuleID)
		}
	}
}

func TestKleene(t *testing.T) {
	F, U, T := eval.False, eval.Unknown, eval.True
	for _, c := range []struct{ a, b, and, or eval.Truth }{
		{F, F, F, F}, {F, U, F, U}, {F, T, F, T},
		{U, F, F, U}, {U, U, U, U}, {U, T, U, T},
		{T, F, F, T}, {T, U, U, T}, {T, T, T, T},
	} {
		require.Equal(t, c.and, c.a.And(c.b), "%s and %s", c.a, c.b)
		require.Equal(t, c.or, c.a.Or(c.b), "%s or %s", c.a, c.b)
		// De Morgan
		require.Equal(t, c.and.Not(), c.a.Not().Or(c.b.Not()))
	}
	require.Equal(t, []eval.Truth{T, U, F}, []eval.Truth{F.Not(), U.Not(), T.Not()})
	// The same through conditions: port is resolved or not, uid decides the rest.
	truth := map[string]eval.Truth{"port=80": T, "port=81": F, "port=?": U}
	for a, ta := range truth {
		for b, tb := range map[string]eval.Truth{"addr=@10.0.0.1": T, "addr=@10.0.0.2": F, "addr=?": U} {
			for form, want := range map[string]eval.Truth{
				"port == 80 and addr == 10.0.0.1": ta.And(tb),
				"port == 80 or addr == 10.0.0.1":  ta.Or(tb),
				"not port == 80":                  ta.Not(),
				"port != 80 or addr != 10.0.0.1":  ta.Not().Or(tb.Not()),
			} {
				p := policy(t, "audit net.connect when "+form)
				v := eval.Decide(p, event(t, "net.connect "+a+" "+b))
				require.Equal(t, want, v.Trace.Lines[0].Result, "%s with %s %s", form, a, b)
			}
		}
	}
}

func TestStack(t *testing.T) {
	outer := policy(t, "audit exec\ndeny exec when uid == 0")
	inner := policy(t, "deny exec when uid in 0..1 errno ENOENT\naudit exec")
	stack := []*check.Policy{outer, inner}
	for _, c := range []struct {
		uid    int64
		layer  int
		want   string
		audits []int
	}{
		{0, 0, "deny rule 2 errno 13 audit 1", []int{1}},
		{1, 1, "deny rule 1 errno 2 audit 2", []int{1, 2}},
		{2, -1, "allow default 0 audit 2", []int{1, 2}},
	} {
		ev := eval.Event{Op: "exec", Subject: map[string]eval.Value{"uid": eval.Int(c.uid)}}
		layer, v := eval.DecideStack(stack, ev)
		require.Equal(t, c.layer, layer)
		require.Equal(t, c.want, brief(v))
		var audits []int
		for _, v := range eval.DecideLayers(stack, ev) {
			audits = append(audits, v.Audit)
		}
		require.Equal(t, c.audits, audits)
	}
	layer, v := eval.DecideStack(nil, event(t, "exec"))
	require.Equal(t, -1, layer)
	require.Equal(t, "allow default 0", brief(v))
}

func TestExplain(t *testing.T) {
	p := policy(t, `default deny for exec
allow exec when path under "/usr/bin" and uid != 0
deny exec as no-shell when path in { "/bin/*sh", "/usr/bin/*sh" } or comm == "evil" because "no shells"
audit file.read
`)
	var b strings.Builder
	require.NoError(t, eval.Decide(p, event(t, "exec path=/usr/bin/bash uid=33")).Explain(&b))
	require.Equal(t, `exec path="/usr/bin/bash" as uid=33
deny by rule 3 at p.snp:4:1 (no-shell), errno 13
  allow rule 2 at p.snp:3:1, exec: yes
    yes        path under "/usr/bin"   (path = "/usr/bin/bash")
    yes        uid != 0   (uid = 33)
  deny rule 3 at p.snp:4:1 (no-shell), exec: yes
    yes        path in { "/bin/*sh", "/usr/bin/*sh" }   (path = "/usr/bin/bash")
    no         comm == "evil"   (comm = "")
`, b.String())
	b.Reset()
	require.NoError(t, eval.Decide(p, event(t, "exec path=?")).Explain(&b))
	require.Equal(t, `exec path=unresolved
deny by rule 3 at p.snp:4:1 (no-shell), which depends on a value that could not be resolved, errno 13
  allow rule 2 at p.snp:3:1, exec: no
    unresolved path under "/usr/bin"
    no         uid != 0   (uid = 0)
  deny rule 3 at p.snp:4:1 (no-shell), exec: unresolved
    unresolved path in { "/bin/*sh", "/usr/bin/*sh" }
    no         comm == "evil"   (comm = "")
`, b.String())
	b.Reset()
	swap := policy(t, "deny file.rename when path == \"/a\"\ndefault deny for net.connect\naudit file.change when path == \"/b\"")
	require.NoError(t, eval.Decide(swap, event(t, "file.rename path=/b to=/a exchange")).Explain(&b))
	require.Equal(t, `file.rename path="/b" to="/a" exchange
deny by rule 1 at p.snp:2:1, errno 13; audited by rule 3
  deny rule 1 at p.snp:2:1, file.rename: no
    no         path == "/a"   (path = "/b")
  audit rule 3 at p.snp:4:1, file.rename: yes
    yes        path == "/b"   (path = "/b")
    no         path == "/b"   (to = "/a")
  deny rule 1 at p.snp:2:1, file.rename, the other way round: yes
    yes        path == "/a"   (to = "/a")
  audit rule 3 at p.snp:4:1, file.rename, the other way round: yes
    no         path == "/b"   (to = "/a")
    yes        path == "/b"   (path = "/b")
`, b.String())
	for text, want := range map[string]string{"net.connect": "deny by the default at p.snp:3:1, errno 13", "net.bind": "allow: nothing is declared for it", "fs.mount": "deny: this is no operation that policies judge, errno 1"} {
		b.Reset()
		require.NoError(t, eval.Decide(swap, event(t, text)).Explain(&b))
		require.Contains(t, b.String(), want)
	}
}

// A condition of the greatest height that the parser accepts, and one far above it.
func TestDeepConditions(t *testing.T) {
	deep := "uid == 0"
	for range 44 {
		deep = "not (" + deep + " or uid == 1)"
	}
	require.Equal(t, eval.Deny, eval.Decide(policy(t, "deny exec when "+deep), event(t, "exec uid=0")).Action)
	v := eval.Decide(policy(t, "deny exec when uid"+strings.Repeat(" + 1", 990)+" == 990"), event(t, "exec uid=0"))
	require.Equal(t, eval.Deny, v.Action)
	p := policy(t, "deny exec when uid == 0")
	var c check.Cond = p.Rules[0].Cond
	for range 200_001 {
		c = &check.Not{X: c}
	}
	p.Rules[0].Cond = c
	require.Equal(t, eval.Allow, eval.Decide(p, event(t, "exec uid=0")).Action)
	require.Equal(t, eval.Deny, eval.Decide(p, event(t, "exec uid=1")).Action)
}
