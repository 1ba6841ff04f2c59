// Package progen makes random well-typed policies and random operations that
// they may concern, for tests that compare the reference evaluator with the
// compiled programs. Equal seeds make equal output.
package progen

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Universe is what policies talk about and operations touch, so that rules
// and attempts meet often.
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
		Paths: []string{"/t/a", "/t/b", "/t/d/a", "/t/d/b.conf", "/t/d/e/f", "/t/d/e/secret", "/t/w/x", "/t/w/y", "/t/bin/a", "/t/bin/b", "/t/with space", "/t/ümlaut"},
		Dirs:  []string{"/t", "/t/d", "/t/d/e", "/t/w", "/t/bin", "/", "/etc"},
		Globs: []string{"/t/*", "/t/**", "**", "/t/?", "/t/d/*.conf", "/t/{a,b}", "/t/{d,w}/**", "/**/secret", "/t/[a-c]", "/t/[^a]", "/t/d/{e/{f,secret},a}", "**/e/*", "/t/**/[a-f]", "/t/*i*", ""},
		Comms: []string{"prober", "sh", "pro", "init"},
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

var open = []string{"path", "access", "flags", "owner", "group", "mode", "ino", "deleted", "memfd"}

// groups are the choices of operations for one rule.
var groups = []group{
	{[]string{"exec"}, []string{"path", "owner", "mode", "setid", "memfd"}},
	{[]string{"file.open"}, open},
	{[]string{"file.read"}, open},
	{[]string{"file.write"}, append([]string{"append"}, open...)},
	{[]string{"file.open", "file.write"}, open},
	{[]string{"file.see"}, open},
	{[]string{"file.change"}, []string{"path"}},
	{[]string{"file.create"}, []string{"path", "mode"}},
	{[]string{"file.mkdir", "file.mknod"}, []string{"path", "mode"}},
	{[]string{"file.symlink"}, []string{"path"}},
	{[]string{"file.unlink", "file.rmdir"}, []string{"path"}},
	{[]string{"file.rename"}, []string{"path", "to"}},
	{[]string{"file.link"}, []string{"path", "to"}},
	{[]string{"file.rename", "file.link"}, []string{"path", "to"}},
	{[]string{"file.truncate"}, []string{"path"}},
	{[]string{"file.chmod"}, []string{"path", "mode"}},
	{[]string{"file.chown"}, []string{"path", "new.uid", "new.gid"}},
	{[]string{"net.socket"}, []string{"family", "type", "protocol"}},
	{[]string{"net.bind"}, []string{"family", "type", "addr", "port"}},
	{[]string{"net.connect"}, []string{"family", "type", "addr", "port"}},
	{[]string{"net.listen"}, []string{"family", "type", "addr", "port"}},
	{[]string{"net.bind", "net.connect"}, []string{"family", "type", "addr", "port"}},
	{[]string{"process.signal"}, []string{"signal", "target.uid", "target.comm", "target.pid"}},
	{[]string{"process.ptrace"}, []string{"target.uid", "target.comm"}},
	{[]string{"capability"}, []string{"cap"}},
}

var subject = []string{"uid", "euid", "gid", "egid", "pid", "ppid", "comm", "caps"}

// Options bound what Policy makes.
type Options struct {
	Rules int // at most; 0: 8
	Depth int // of conditions; 0: 3
	// Only, if not empty, restricts the operations to groups whose first operation is in it.
	Only []string
	// NoCapability leaves the operation capability out, which many system calls ask for by the way.
	NoCapability bool
}

type generator struct {
	*rand.Rand
	u    *Universe
	o    Options
	sets []string // names of path sets
}

// Policy makes a policy's source text.
func Policy(r *rand.Rand, u *Universe, o Options) string {
	if o.Rules == 0 {
		o.Rules = 8
	}
	if o.Depth == 0 {
		o.Depth = 3
	}
	g := &generator{Rand: r, u: u, o: o}
	var b strings.Builder
	fmt.Fprintf(&b, "policy random\n")
	for i := range g.IntN(3) {
		name := fmt.Sprintf("s%d", i)
		fmt.Fprintf(&b, "set %s = path { %s }\n", name, g.paths())
		g.sets = append(g.sets, name)
	}
	if g.IntN(3) > 0 {
		fmt.Fprintf(&b, "default allow\n")
	}
	for range g.IntN(3) {
		gr := g.group()
		fmt.Fprintf(&b, "default %s for %s\n", g.pick("deny", "deny", "allow"), strings.Join(gr.ops, ", "))
	}
	n := 1 + g.IntN(o.Rules)
	for i := 0; i < n; i++ {
		if g.IntN(6) == 0 {
			fmt.Fprintf(&b, "when %s {\n    %s\n}\n", g.cond(subject, 1), g.rule(i))
			continue
		}
		fmt.Fprintf(&b, "%s\n", g.rule(i))
	}
	return b.String()
}

func (g *generator) pick(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g *generator) group() group {
	for {
		gr := groups[g.IntN(len(groups))]
		if g.o.NoCapability && gr.ops[0] == "capability" {
			continue
		}
		if len(g.o.Only) == 0 || strings.Contains(" "+strings.Join(g.o.Only, " ")+" ", " "+gr.ops[0]+" ") {
			return gr
		}
	}
}

func (g *generator) rule(i int) string {
	gr := g.group()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", g.pick("allow", "allow", "deny", "deny", "deny", "audit"), strings.Join(gr.ops, ", "))
	if g.IntN(3) == 0 {
		fmt.Fprintf(&b, " as r%d", i)
	}
	fields := gr.fields
	if g.IntN(3) == 0 {
		fields = append(append([]string{}, fields...), subject...)
	}
	if g.IntN(8) > 0 {
		fmt.Fprintf(&b, " when %s", g.cond(fields, g.o.Depth))
	}
	if g.IntN(6) == 0 {
		fmt.Fprintf(&b, " unless %s", g.cond(fields, 1))
	}
	if g.IntN(4) == 0 && !strings.HasPrefix(b.String(), "audit") && !strings.HasPrefix(b.String(), "allow") {
		fmt.Fprintf(&b, " errno %s", g.pick("ENOENT", "EPERM", "EIO", "EROFS"))
	}
	return b.String()
}

func (g *generator) cond(fields []string, depth int) string {
	if depth > 0 {
		switch g.IntN(6) {
		case 0:
			return g.operand(fields, depth-1) + " and " + g.operand(fields, depth-1)
		case 1:
			return g.operand(fields, depth-1) + " or " + g.operand(fields, depth-1)
		case 2:
			return "not " + g.operand(fields, depth-1)
		}
	}
	return g.atom(fields[g.IntN(len(fields))], fields)
}

func (g *generator) operand(fields []string, depth int) string {
	c := g.cond(fields, depth)
	if strings.ContainsAny(c, " ") {
		return "(" + c + ")"
	}
	return c
}

func (g *generator) paths() string {
	var list []string
	for range 1 + g.IntN(3) {
		if g.IntN(2) == 0 {
			list = append(list, fmt.Sprintf("%q", g.pick(g.u.Paths...)))
		} else {
			list = append(list, fmt.Sprintf("%q", g.glob()))
		}
	}
	return strings.Join(list, ", ")
}

func (g *generator) glob() string {
	for {
		if s := g.pick(g.u.Globs...); s != "" {
			return s
		}
	}
}

func (g *generator) ints(values []int) string {
	v := func() int { return values[g.IntN(len(values))] }
	switch g.IntN(4) {
	case 0:
		a, b := v(), v()
		return fmt.Sprintf("in { %d, %d }", a, b)
	case 1:
		a, b := v(), v()
		return fmt.Sprintf("in %d..%d", min(a, b), max(a, b))
	default:
		return fmt.Sprintf("%s %d", g.pick("==", "!=", "<", "<=", ">", ">="), v())
	}
}

func (g *generator) constants(names ...string) string {
	if g.IntN(3) == 0 {
		return fmt.Sprintf("in { %s, %s }", g.pick(names...), g.pick(names...))
	}
	return fmt.Sprintf("%s %s", g.pick("==", "!="), g.pick(names...))
}

func (g *generator) atom(field string, fields []string) string {
	switch field {
	case "path", "to":
		switch g.IntN(5) {
		case 0:
			return fmt.Sprintf("%s %s %q", field, g.pick("==", "==", "!="), g.pick(g.u.Paths...))
		case 1:
			return fmt.Sprintf("%s matches %q", field, g.glob())
		case 2:
			return fmt.Sprintf("%s under %q", field, g.pick(g.u.Dirs...))
		case 3:
			if len(g.sets) > 0 {
				return fmt.Sprintf("%s in %s", field, g.pick(g.sets...))
			}
		}
		return fmt.Sprintf("%s in { %s }", field, g.paths())
	case "access":
		return "access has " + g.pick("read", "write", "append", "exec")
	case "flags":
		if g.IntN(3) == 0 {
			return fmt.Sprintf("flags & %s %s 0", g.pick("O_TRUNC", "O_APPEND", "3"), g.pick("==", "!="))
		}
		return "flags has " + g.pick("O_TRUNC", "O_APPEND", "O_CLOEXEC", "O_WRONLY")
	case "append", "deleted", "memfd", "setid":
		return field
	case "owner", "group", "uid", "euid", "gid", "egid", "new.uid", "new.gid", "target.uid":
		if field == "uid" && g.IntN(6) == 0 {
			for _, f := range fields {
				if f == "owner" {
					return "uid == owner"
				}
			}
		}
		return field + " " + g.ints(g.u.UIDs)
	case "mode":
		if g.IntN(2) == 0 {
			return fmt.Sprintf("mode & %s != 0", g.pick("0o111", "0o022", "0o4000"))
		}
		return "mode " + g.ints([]int{0, 0o600, 0o644, 0o755, 0o777})
	case "ino":
		return fmt.Sprintf("ino %% %d == %d", 2+g.IntN(3), g.IntN(2))
	case "pid", "ppid":
		return fmt.Sprintf("%s %s %d", field, g.pick("<", ">"), 1+g.IntN(500))
	case "target.pid":
		return "target.pid " + g.pick("==", "!=") + " pid"
	case "comm", "target.comm":
		if g.IntN(3) == 0 {
			return fmt.Sprintf("%s matches %q", field, g.pick("p*", "*", "[a-p]*", "?h"))
		}
		return fmt.Sprintf("%s %s %q", field, g.pick("==", "!="), g.pick(g.u.Comms...))
	case "caps":
		return "caps has " + g.pick("CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_CHOWN")
	case "family":
		return "family " + g.constants("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK")
	case "type":
		return "type " + g.constants("SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW")
	case "protocol":
		return "protocol " + g.ints([]int{0, 6, 17})
	case "addr":
		return fmt.Sprintf("addr in { %s, %s }", g.pick(g.u.CIDRs...), g.pick(g.u.CIDRs...))
	case "port":
		return "port " + g.ints(g.u.Ports)
	case "signal":
		return "signal " + g.constants("SIGTERM", "SIGKILL", "SIGUSR1", "SIGCONT")
	case "cap":
		return "cap " + g.constants("CAP_SYS_CHROOT", "CAP_SYS_BOOT", "CAP_SYS_TIME")
	}
	panic("progen: no generator for field " + field)
}
