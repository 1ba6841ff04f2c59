// Package progen makes random well-typed policies, and makes failing ones small.
//
// Input: a source of random numbers and a Universe, the values that policies
// speak of; tests choose events from the same values, so that rules and events
// meet often. Output: the source text of a policy. Equal seeds give equal text.
package progen

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Universe is what policies talk about.
type Universe struct {
	Paths []string // absolute
	Dirs  []string // prefixes of some of Paths
	Globs []string
	Comms []string
	Ports []int
	CIDRs []string
	UIDs  []int
}

// Default is a small universe below /t.
func Default() *Universe {
	return &Universe{
		Paths: []string{"/t/a", "/t/b", "/t/d/a", "/t/d/b.conf", "/t/d/e/f", "/t/d/e/secret", "/t/w/x", "/t/w/y", "/t/m/a", "/t/s/a", "/t/bin/a", "/t/bin/b", "/t/with space", "/t/ümlaut"},
		Dirs:  []string{"/t", "/t/d", "/t/d/e", "/t/w", "/t/m", "/t/s", "/t/bin", "/", "/etc"},
		Globs: []string{"/t/*", "/t/**", "**", "/t/?", "/t/d/*.conf", "/t/{a,b}", "/t/{d,w}/**", "/**/secret", "/t/[a-c]", "/t/[^a]", "/t/d/{e/{f,secret},a}", "**/e/*", "/t/**/[a-f]", "/t/*i*", "/t/{m,s}/?", "/t/s/**"},
		Comms: []string{"prober", "sh", "pro", "victim"},
		Ports: []int{0, 22, 80, 443, 8000, 8080, 65535},
		CIDRs: []string{"127.0.0.0/8", "127.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "::1", "::/0", "fd00::/8", "127.0.0.2/31"},
		UIDs:  []int{0, 1, 33, 1000, 65534},
	}
}

// group is a set of operations that a rule may name, with the fields that all
// of them have.
type group struct {
	ops    []string // as written
	fields []string
}

var (
	opened = []string{"path", "path", "path", "access", "access", "flags", "owner", "group", "mode", "dev", "ino", "deleted", "memfd"}
	socket = []string{"family", "type", "protocol"}
	peer   = []string{"family", "type", "protocol", "addr", "addr", "port", "port"}
	target = []string{"target.uid", "target.comm", "target.pid"}
)

// groups are the choices of operations for one rule.
var groups = []group{
	{[]string{"exec"}, []string{"path", "path", "owner", "mode", "setid", "memfd"}},
	{[]string{"file.open"}, opened},
	{[]string{"file.read"}, opened},
	{[]string{"file.write"}, append([]string{"append"}, opened...)},
	{[]string{"file.open", "file.write"}, opened},
	{[]string{"file.see"}, opened},
	{[]string{"file.change"}, []string{"path"}},
	{[]string{"file.create"}, []string{"path", "mode"}},
	{[]string{"file.mkdir", "file.mknod"}, []string{"path", "mode"}},
	{[]string{"file.symlink"}, []string{"path", "target"}},
	{[]string{"file.unlink", "file.rmdir"}, []string{"path"}},
	{[]string{"file.rename"}, []string{"path", "to"}},
	{[]string{"file.link"}, []string{"path", "to"}},
	{[]string{"file.rename", "file.link"}, []string{"path", "to"}},
	{[]string{"file.truncate"}, []string{"path"}},
	{[]string{"file.chmod"}, []string{"path", "mode"}},
	{[]string{"file.chown"}, []string{"path", "new.uid", "new.gid"}},
	{[]string{"net.socket"}, socket},
	{[]string{"net.bind"}, peer},
	{[]string{"net.connect"}, peer},
	{[]string{"net.listen"}, peer},
	{[]string{"net.bind", "net.connect"}, peer},
	{[]string{"net.socket", "net.listen"}, socket},
	{[]string{"process.signal"}, append([]string{"signal"}, target...)},
	{[]string{"process.ptrace"}, append([]string{"ptrace mode"}, target...)},
	{[]string{"process.signal", "process.ptrace"}, target},
	{[]string{capability}, []string{"cap"}},
}

const capability = "capability"

var subject = []string{"uid", "euid", "gid", "egid", "pid", "tid", "tgid", "ppid", "comm", "caps"}

// Options bound what Policy makes.
type Options struct {
	Rules int // at most; 0: 8
	Depth int // of conditions; 0: 3
	// Only, if not empty, restricts the operations to groups whose first operation is in it.
	Only []string
	// NoCapability leaves the operation capability out, also from defaults.
	NoCapability bool
	// Kill makes kill rules too.
	Kill bool
}

type generator struct {
	*rand.Rand
	u    *Universe
	o    Options
	sets map[string][]string // names of declared sets and params, by kind
}

// Policy makes a policy's source text.
func Policy(r *rand.Rand, u *Universe, o Options) string {
	if o.Rules == 0 {
		o.Rules = 8
	}
	if o.Depth == 0 {
		o.Depth = 3
	}
	g := &generator{Rand: r, u: u, o: o, sets: map[string][]string{}}
	var b strings.Builder
	fmt.Fprintf(&b, "policy random\n")
	g.declarations(&b)
	g.defaults(&b)
	n := 1 + g.IntN(o.Rules)
	for i := 0; i < n; {
		i += g.statement(&b, "", i, 2)
	}
	return b.String()
}

func (g *generator) pick(choices ...string) string { return choices[g.IntN(len(choices))] }

// declarations makes sets and params, some of which name earlier ones.
func (g *generator) declarations(b *strings.Builder) {
	member := map[string]func() string{
		"path":   func() string { return g.pattern() },
		"cidr":   func() string { return g.pick(g.u.CIDRs...) },
		"port":   func() string { return fmt.Sprint(g.u.Ports[g.IntN(len(g.u.Ports))]) },
		"int":    func() string { return fmt.Sprint(g.u.UIDs[g.IntN(len(g.u.UIDs))]) },
		"string": func() string { return fmt.Sprintf("%q", g.pick(g.u.Comms...)) },
	}
	kinds := []string{"path", "cidr", "port", "int", "string"}
	for i := range g.IntN(4) {
		kind := g.pick("path", g.pick(kinds...))
		var list []string
		for range 1 + g.IntN(4) {
			if named := g.sets[kind]; len(named) > 0 && g.IntN(3) == 0 {
				list = append(list, g.pick(named...))
			} else {
				list = append(list, member[kind]())
			}
		}
		name := fmt.Sprintf("s%d", i)
		fmt.Fprintf(b, "set %s = %s { %s }\n", name, kind, strings.Join(list, ", "))
		g.sets[kind] = append(g.sets[kind], name)
	}
	if g.IntN(4) == 0 {
		fmt.Fprintf(b, "param where: path = %q\n", g.pick(g.u.Paths...))
		g.sets["param"] = []string{"where"}
	}
}

func (g *generator) defaults(b *strings.Builder) {
	switch g.IntN(6) {
	case 0, 1, 2, 3:
		fmt.Fprintf(b, "default allow\n")
	case 4:
		if !g.o.NoCapability && len(g.o.Only) == 0 {
			fmt.Fprintf(b, "default deny\n")
		}
	}
	stated := map[string]bool{}
	for range g.IntN(3) {
		gr := g.group()
		// Two defaults of one rank for one operation contradict each other.
		if slices.ContainsFunc(gr.ops, func(op string) bool { return stated[op] }) {
			continue
		}
		for _, op := range gr.ops {
			stated[op] = true
		}
		fmt.Fprintf(b, "default %s for %s\n", g.pick("deny", "deny", "allow"), strings.Join(gr.ops, ", "))
	}
}

// statement writes a rule, or a block with some, and gives the number of rules.
func (g *generator) statement(b *strings.Builder, indent string, i, depth int) int {
	if depth == 0 || g.IntN(6) > 0 {
		fmt.Fprintf(b, "%s%s\n", indent, g.rule(i))
		return 1
	}
	fmt.Fprintf(b, "%swhen %s {\n", indent, g.cond(subject, 1))
	n := 0
	for range 1 + g.IntN(2) {
		n += g.statement(b, indent+"    ", i+n, depth-1)
	}
	fmt.Fprintf(b, "%s}\n", indent)
	return n
}

func (g *generator) group() group {
	for {
		gr := groups[g.IntN(len(groups))]
		if g.o.NoCapability && gr.ops[0] == capability {
			continue
		}
		if len(g.o.Only) == 0 || slices.Contains(g.o.Only, gr.ops[0]) {
			return gr
		}
	}
}

func (g *generator) rule(i int) string {
	gr := g.group()
	verb := g.pick("allow", "allow", "deny", "deny", "deny", "audit")
	if g.o.Kill && g.IntN(12) == 0 {
		verb = "kill"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", verb, strings.Join(gr.ops, ", "))
	if g.IntN(3) == 0 {
		fmt.Fprintf(&b, " as r%d", i)
	}
	fields := gr.fields
	if g.IntN(3) == 0 {
		fields = slices.Concat(fields, subject)
	}
	if g.IntN(8) > 0 {
		fmt.Fprintf(&b, " when %s", g.cond(fields, g.o.Depth))
	}
	if g.IntN(6) == 0 {
		fmt.Fprintf(&b, " unless %s", g.cond(fields, 1))
	}
	if g.IntN(4) == 0 && (verb == "deny" || verb == "kill") {
		fmt.Fprintf(&b, " errno %s", g.pick("ENOENT", "EPERM", "EIO", "EROFS"))
	}
	if g.IntN(8) == 0 {
		fmt.Fprintf(&b, " because %q", "rule "+fmt.Sprint(i))
	}
	return b.String()
}
