package progen

import (
	"fmt"
	"slices"
	"strings"
)

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
	if strings.Contains(c, " ") {
		return "(" + c + ")"
	}
	return c
}

// pattern is a member of a path set.
func (g *generator) pattern() string {
	if g.IntN(2) == 0 {
		return fmt.Sprintf("%q", g.pick(g.u.Paths...))
	}
	return fmt.Sprintf("%q", g.pick(g.u.Globs...))
}

func (g *generator) patterns() string {
	var list []string
	for range 1 + g.IntN(3) {
		list = append(list, g.pattern())
	}
	return strings.Join(list, ", ")
}

// ints compares an integer with some of the values.
func (g *generator) ints(values []int) string {
	v := func() int { return values[g.IntN(len(values))] }
	switch g.IntN(4) {
	case 0:
		return fmt.Sprintf("in { %d, %d }", v(), v())
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

// inSet is membership in a declared set of a kind, if there is one.
func (g *generator) inSet(field, kind string) (string, bool) {
	if names := g.sets[kind]; len(names) > 0 && g.IntN(3) == 0 {
		return field + " in " + g.pick(names...), true
	}
	return "", false
}

func (g *generator) atom(field string, fields []string) string {
	switch field {
	case "path", "to":
		return g.path(field)
	case "target":
		return "target " + g.pick(`== "/t/a"`, `!= "/t/d/a"`, `matches "**/e/*"`, `in { "/t/b", "/t/d/**" }`, `under "/t/d"`)
	case "access":
		if g.IntN(5) == 0 {
			return fmt.Sprintf("access & %d == %d", 1+g.IntN(15), g.IntN(4))
		}
		return "access has " + g.pick("read", "write", "append", "exec")
	case "flags":
		if g.IntN(3) == 0 {
			return fmt.Sprintf("flags & %s %s 0", g.pick("O_TRUNC", "O_APPEND", "3"), g.pick("==", "!="))
		}
		return "flags has " + g.pick("O_TRUNC", "O_APPEND", "O_CLOEXEC", "O_WRONLY")
	case "append", "deleted", "memfd", "setid":
		return field
	case "owner", "group", "uid", "euid", "gid", "egid", "new.uid", "new.gid", "target.uid":
		return g.id(field, fields)
	case "mode":
		if g.IntN(2) == 0 {
			return fmt.Sprintf("mode & %s != 0", g.pick("0o111", "0o022", "0o4000"))
		}
		return "mode " + g.ints([]int{0, 0o600, 0o644, 0o755, 0o777})
	case "ptrace mode":
		return "mode has " + g.pick("read", "attach")
	case "ino", "dev":
		return fmt.Sprintf("%s %% %d == %d", field, 2+g.IntN(3), g.IntN(2))
	case "pid", "ppid", "tid", "tgid":
		if g.IntN(3) == 0 {
			return fmt.Sprintf("%s %% %d == %d", field, 2+g.IntN(3), g.IntN(2))
		}
		return fmt.Sprintf("%s %s %d", field, g.pick("<", ">"), 1+g.IntN(1000))
	case "target.pid":
		return "target.pid " + g.pick("==", "!=", "<") + " " + g.pick("pid", "ppid", "tid + 1")
	case "comm", "target.comm":
		if s, ok := g.inSet(field, "string"); ok {
			return s
		}
		if g.IntN(3) == 0 {
			return fmt.Sprintf("%s matches %q", field, g.pick("p*", "*", "[a-p]*", "?h", "*e*"))
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
		if s, ok := g.inSet(field, "cidr"); ok {
			return s
		}
		return fmt.Sprintf("addr in { %s, %s }", g.pick(g.u.CIDRs...), g.pick(g.u.CIDRs...))
	case "port":
		if s, ok := g.inSet(field, "port"); ok {
			return s
		}
		return "port " + g.ints(g.u.Ports)
	case "signal":
		return "signal " + g.constants("SIGTERM", "SIGKILL", "SIGUSR1", "SIGCONT")
	case "cap":
		return "cap " + g.constants("CAP_SYS_CHROOT", "CAP_SYS_BOOT", "CAP_CHOWN", "CAP_NET_BIND_SERVICE")
	}
	panic("progen: no generator for field " + field)
}

func (g *generator) path(field string) string {
	if s, ok := g.inSet(field, "path"); ok {
		return s
	}
	switch g.IntN(4) {
	case 0:
		if g.sets["param"] != nil && g.IntN(2) == 0 {
			return field + g.pick(" == ", " != ", " under ") + g.pick(g.sets["param"]...)
		}
		return fmt.Sprintf("%s %s %q", field, g.pick("==", "==", "!="), g.pick(g.u.Paths...))
	case 1:
		return fmt.Sprintf("%s matches %q", field, g.pick(g.u.Globs...))
	case 2:
		return fmt.Sprintf("%s under %q", field, g.pick(g.u.Dirs...))
	}
	return fmt.Sprintf("%s in { %s }", field, g.patterns())
}

// id is a condition on a user or group id.
func (g *generator) id(field string, fields []string) string {
	if s, ok := g.inSet(field, "int"); ok {
		return s
	}
	switch field {
	case "uid", "euid":
		if slices.Contains(fields, "owner") && g.IntN(3) == 0 {
			return field + g.pick(" == ", " != ", " < ") + "owner"
		}
	case "new.uid":
		if g.IntN(3) == 0 {
			return fmt.Sprintf("new.uid %s (new.gid << 2) + %d", g.pick("==", ">", "<="), g.IntN(40))
		}
	}
	return field + " " + g.ints(g.u.UIDs)
}
