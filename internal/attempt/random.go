package attempt

import (
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// Random chooses an attempt. Attempts leave nothing behind but what Reset puts
// back, and none of them ends the process that makes it.
func (u *Universe) Random(r *rand.Rand) Attempt {
	c := chooser{r, u}
	kinds := []func() Attempt{c.open, c.open, c.open, c.exec, c.name, c.name, c.name, c.pair, c.pair, c.change, c.change, c.net, c.net, c.net, c.process, c.process, c.capability, c.nowhere}
	return kinds[r.IntN(len(kinds))]()
}

type chooser struct {
	*rand.Rand
	u *Universe
}

func (c chooser) pick(s []string) string { return s[c.IntN(len(s))] }

func of[T any](c chooser, choices ...T) T { return choices[c.IntN(len(choices))] }

// file is a name of a file that exists, most of the time.
func (c chooser) file() string {
	switch c.IntN(10) {
	case 0, 1:
		return c.pick(c.u.Links)
	case 2:
		return c.pick(append(c.u.Missing, c.u.Absent...))
	}
	return c.pick(c.u.Files)
}

// absent is a name of nothing, most of the time.
func (c chooser) absent() string {
	if c.IntN(8) == 0 {
		return c.pick(append(c.u.Missing, c.u.Files...))
	}
	return c.pick(c.u.Absent)
}

func (c chooser) mode() uint32 { return of(c, uint32(0o600), 0o644, 0o755, 0o777) }

func (c chooser) flags() int {
	return of(c, unix.O_RDONLY, unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, unix.O_WRONLY|unix.O_APPEND, unix.O_RDONLY|unix.O_CLOEXEC,
		unix.O_WRONLY|unix.O_TRUNC, unix.O_RDWR|unix.O_APPEND|unix.O_CLOEXEC, unix.O_RDONLY|unix.O_NOFOLLOW)
}

func (c chooser) open() Attempt {
	a := Attempt{Op: "open", Path: c.file(), Flags: c.flags()}
	switch {
	case c.IntN(12) == 0:
		return Attempt{Op: "memfd", Flags: of(c, unix.O_RDONLY, unix.O_RDWR)}
	case a.Flags&unix.O_NOFOLLOW != 0:
		a.Path = c.pick(c.u.Files) // whose last element is no symbolic link
	}
	return a
}

func (c chooser) exec() Attempt { return Attempt{Op: "exec", Path: c.pick(c.u.Programs)} }

func (c chooser) name() Attempt {
	switch op := of(c, "create", "mkdir", "mknod", "symlink", "creat", "unlink", "rmdir"); op {
	case "symlink":
		return Attempt{Op: op, Path: c.absent(), To: of(c, "/t/a", "/t/d/a", "../x", "/t/d/e/f", "")}
	case "unlink":
		return Attempt{Op: op, Path: c.file()}
	case "rmdir":
		if c.IntN(4) == 0 {
			return Attempt{Op: op, Path: c.file()}
		}
		return Attempt{Op: op, Path: c.pick(c.u.Dirs)}
	default:
		return Attempt{Op: op, Path: c.absent(), Mode: c.mode()}
	}
}

func (c chooser) pair() Attempt {
	switch op := of(c, "rename", "rename", "exchange", "link"); op {
	case "exchange":
		return Attempt{Op: op, Path: c.file(), To: c.file()}
	case "rename":
		if c.IntN(3) == 0 {
			return Attempt{Op: op, Path: c.file(), To: c.file()}
		}
		return Attempt{Op: op, Path: c.file(), To: c.absent()}
	default:
		return Attempt{Op: op, Path: c.file(), To: c.absent()}
	}
}

func (c chooser) change() Attempt {
	switch op := of(c, "truncate", "chmod", "chown"); op {
	case "chmod":
		return Attempt{Op: op, Path: c.file(), Mode: c.mode()}
	case "chown":
		return Attempt{Op: op, Path: c.file(), UID: of(c, 0, 33, 1000), GID: of(c, 0, 1000)}
	default:
		return Attempt{Op: op, Path: c.file()}
	}
}

func (c chooser) net() Attempt {
	a := Attempt{Op: of(c, "socket", "bind", "connect", "connect", "listen"), Type: of(c, unix.SOCK_STREAM, unix.SOCK_DGRAM), Port: of(c, 80, 443, 8000, 8080, 9, 0)}
	if c.IntN(12) == 0 {
		return Attempt{Op: "bindpath", Path: c.absent(), Type: a.Type}
	}
	if a.Op == "socket" {
		a.Port = 0
		switch c.IntN(4) {
		case 0:
			a.Family = unix.AF_UNIX
		case 1:
			a.Family, a.Type = unix.AF_NETLINK, unix.SOCK_RAW
		case 2:
			a.Family, a.Type, a.Proto = unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP
		default:
			a.Family, a.Type, a.Proto = unix.AF_INET, unix.SOCK_STREAM, of(c, 0, unix.IPPROTO_TCP)
		}
		return a
	}
	a.Family = of(c, unix.AF_INET, unix.AF_INET, unix.AF_INET6)
	if a.Family == unix.AF_INET6 {
		a.Addr = of(c, "::1", "::", "::ffff:127.0.0.1", "fd00::1")
	} else {
		a.Addr = of(c, "127.0.0.1", "127.0.0.2", "127.0.0.3", "0.0.0.0", "10.1.2.3")
	}
	switch {
	case a.Op == "listen" && c.IntN(6) == 0:
		a.Addr, a.Port = "", 0
	case a.Op != "listen" && c.IntN(8) == 0:
		a.Layout = of(c, LayoutShort, LayoutUnspec)
	}
	if a.Op == "connect" && a.Type == unix.SOCK_STREAM {
		// Elsewhere an answer may be long in coming.
		a.Addr = map[int]string{unix.AF_INET: "127.0.0.1", unix.AF_INET6: "::1"}[a.Family]
	}
	return a
}

func (c chooser) process() Attempt {
	switch op := of(c, "signal", "signal", "inspect", "peek", "attach"); op {
	case "signal":
		return Attempt{Op: op, Target: c.u.Victim, Signal: of(c, 0, int(unix.SIGTERM), int(unix.SIGUSR1), int(unix.SIGCONT))}
	default:
		return Attempt{Op: op, Target: c.u.Victim}
	}
}

func (c chooser) capability() Attempt { return Attempt{Op: of(c, "chroot", "reboot", "hostname")} }

// nowhere is something in a folder without a path.
func (c chooser) nowhere() Attempt {
	switch dir := of(c, DirDeep, DirDeep, DirDead, DirDetached, DirElsewhere); dir {
	case DirDead:
		if c.IntN(2) == 0 {
			return Attempt{Op: "chmod", Dir: dir, Path: ".", Mode: 0o755}
		}
		return Attempt{Op: "open", Dir: dir, Path: ".", Flags: unix.O_RDONLY}
	case DirDeep:
		switch op := of(c, "open", "create", "mkdir", "rename", "truncate", "chmod", "link"); op {
		case "open":
			return Attempt{Op: op, Dir: dir, Path: "f", Flags: c.flags() &^ unix.O_NOFOLLOW}
		case "rename", "link":
			return Attempt{Op: op, Dir: dir, Path: "f", To: "x"}
		case "create", "mkdir", "chmod":
			return Attempt{Op: op, Dir: dir, Path: map[bool]string{true: "f", false: "y"}[op == "chmod"], Mode: 0o644}
		default:
			return Attempt{Op: op, Dir: dir, Path: "f"}
		}
	default:
		name := map[string]string{DirDetached: "f", DirElsewhere: "a"}[dir]
		if c.IntN(2) == 0 {
			return Attempt{Op: "chmod", Dir: dir, Path: name, Mode: 0o644}
		}
		return Attempt{Op: "open", Dir: dir, Path: name, Flags: of(c, unix.O_RDONLY, unix.O_RDWR)}
	}
}

// operations lists the operations that each kind of attempt may be.
var operations = map[string][]string{
	"open": {"file.open", "file.read", "file.write", "file.truncate"}, "memfd": {"file.open", "file.read", "file.write"},
	"exec":   {"exec", "file.open"},
	"create": {"file.create"}, "mkdir": {"file.mkdir"}, "mknod": {"file.mknod"}, "symlink": {"file.symlink"},
	"creat": {"file.create", "file.open", "file.write"}, "unlink": {"file.unlink"}, "rmdir": {"file.rmdir"},
	"rename": {"file.rename"}, "exchange": {"file.rename"}, "link": {"file.link"},
	"truncate": {"file.truncate"}, "chmod": {"file.chmod"}, "chown": {"file.chown", "capability"},
	"socket": {"net.socket"}, "bind": {"net.socket", "net.bind", "capability"}, "connect": {"net.socket", "net.connect"},
	"bindpath": {"net.socket", "net.bind", "file.mknod"},
	"listen":   {"net.socket", "net.bind", "net.listen", "capability"},
	"signal":   {"process.signal"}, "inspect": {"process.ptrace"}, "peek": {"process.ptrace"}, "attach": {"process.ptrace"},
	"chroot": {"capability"}, "reboot": {"capability"}, "hostname": {"capability"},
}

// Operations lists the operations that the attempt may be.
func (a Attempt) Operations() []string { return operations[a.Op] }
