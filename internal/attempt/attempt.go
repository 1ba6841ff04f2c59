// Package attempt carries out operations by their real system calls and tells
// which events the kernel's hooks must have seen, for tests that compare the
// kernel's verdicts with the reference evaluator's.
//
// Input: an Attempt. Output: an Outcome: the errno, and the events in the order
// of the hooks, with the values that the system itself gives for their fields.
package attempt

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Attempt is one operation to try.
type Attempt struct {
	Op     string // "open", "exec", "create", … (see doers)
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
	Signal int    `json:",omitempty"`
	Target int    `json:",omitempty"` // pid
	Attach bool   `json:",omitempty"`
}

// Outcome is what came of it.
type Outcome struct {
	Errno  unix.Errno
	Events []Event
	// Failed tells why the attempt could not be prepared; "" if it could.
	Failed string `json:",omitempty"`
}

// Event is what one hook saw.
type Event struct {
	Op     string
	Fields map[string]Value
}

// Value is a field's value: one of the members.
type Value struct {
	Int  *int64  `json:",omitempty"`
	Bool *bool   `json:",omitempty"`
	Text *string `json:",omitempty"`
	Addr *string `json:",omitempty"`
}

func num[T ~int | ~int64 | ~uint32 | ~uint64 | ~uint16](v T) Value {
	i := int64(v)
	return Value{Int: &i}
}
func text(s string) Value { return Value{Text: &s} }
func truth(b bool) Value  { return Value{Bool: &b} }

// Universe is what random attempts choose from. Files exist below /t as
// Reset makes them.
type Universe struct {
	Files, Dirs, Absent, Programs []string
	Victim                        int // pid of a process that survives the signals of Random
}

// Default is the universe that Reset makes.
func Default(victim int) *Universe {
	return &Universe{
		Files:    []string{"/t/a", "/t/b", "/t/d/a", "/t/d/b.conf", "/t/d/e/f", "/t/d/e/secret", "/t/with space", "/t/ümlaut"},
		Dirs:     []string{"/t/w/empty", "/t/d/e/dir"},
		Absent:   []string{"/t/w/x", "/t/w/y", "/t/c", "/t/d/new.conf"},
		Programs: []string{"/t/bin/a", "/t/bin/b"},
		Victim:   victim,
	}
}

// Random chooses an attempt.
func Random(r *rand.Rand, u *Universe) Attempt {
	pick := func(s []string) string { return s[r.IntN(len(s))] }
	port := func() int { return []int{80, 443, 8000, 8080, 9}[r.IntN(5)] }
	inet := func(a Attempt) Attempt {
		a.Type = []int{unix.SOCK_STREAM, unix.SOCK_DGRAM}[r.IntN(2)]
		a.Port = port()
		switch r.IntN(4) {
		case 0:
			a.Family, a.Addr = unix.AF_INET6, "::1"
		case 1:
			a.Family, a.Addr = unix.AF_INET6, "::ffff:127.0.0.1"
		default:
			a.Family, a.Addr = unix.AF_INET, []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}[r.IntN(3)]
		}
		return a
	}
	mode := func() uint32 { return []uint32{0o600, 0o644, 0o755, 0o777}[r.IntN(4)] }
	switch r.IntN(24) {
	case 0, 1, 2, 3, 4:
		flags := []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, unix.O_WRONLY | unix.O_APPEND, unix.O_RDONLY | unix.O_CLOEXEC}
		return Attempt{Op: "open", Path: pick(u.Files), Flags: flags[r.IntN(len(flags))]}
	case 5:
		return Attempt{Op: "open", Path: pick(u.Files), Flags: unix.O_WRONLY | unix.O_TRUNC}
	case 6, 7:
		return Attempt{Op: "exec", Path: pick(u.Programs)}
	case 8:
		return Attempt{Op: "create", Path: pick(u.Absent), Mode: mode()}
	case 9:
		return Attempt{Op: "mkdir", Path: pick(u.Absent), Mode: mode()}
	case 10:
		return Attempt{Op: "mknod", Path: pick(u.Absent), Mode: mode()}
	case 11:
		return Attempt{Op: "symlink", Path: pick(u.Absent), To: pick(u.Files)}
	case 12:
		return Attempt{Op: "unlink", Path: pick(u.Files)}
	case 13:
		return Attempt{Op: "rmdir", Path: pick(u.Dirs)}
	case 14:
		return Attempt{Op: "rename", Path: pick(u.Files), To: pick(u.Absent)}
	case 15:
		a, b := pick(u.Files), pick(u.Files)
		if a == b {
			b = u.Absent[0]
			return Attempt{Op: "rename", Path: a, To: b}
		}
		return Attempt{Op: "exchange", Path: a, To: b}
	case 16:
		return Attempt{Op: "link", Path: pick(u.Files), To: pick(u.Absent)}
	case 17:
		return Attempt{Op: "truncate", Path: pick(u.Files)}
	case 18:
		return Attempt{Op: "chmod", Path: pick(u.Files), Mode: mode()}
	case 19:
		return Attempt{Op: "chown", Path: pick(u.Files), UID: []int{0, 33, 1000}[r.IntN(3)], GID: []int{0, 1000}[r.IntN(2)]}
	case 20:
		switch r.IntN(4) {
		case 0:
			return Attempt{Op: "socket", Family: unix.AF_UNIX, Type: unix.SOCK_DGRAM}
		case 1:
			return Attempt{Op: "socket", Family: unix.AF_NETLINK, Type: unix.SOCK_RAW}
		}
		return Attempt{Op: "socket", Family: unix.AF_INET, Type: unix.SOCK_STREAM, Proto: []int{0, 6}[r.IntN(2)]}
	case 21:
		return inet(Attempt{Op: []string{"bind", "listen"}[r.IntN(2)]})
	case 22:
		return inet(Attempt{Op: "connect"})
	default:
		switch r.IntN(3) {
		case 0:
			return Attempt{Op: "signal", Target: u.Victim, Signal: []int{0, int(unix.SIGTERM), int(unix.SIGUSR1), int(unix.SIGCONT)}[r.IntN(4)]}
		case 1:
			return Attempt{Op: "ptrace", Target: u.Victim, Attach: r.IntN(2) == 0}
		}
		return Attempt{Op: []string{"chroot", "reboot"}[r.IntN(2)]}
	}
}

// String is short, for messages.
func (a Attempt) String() string {
	s := a.Op
	for _, p := range []string{a.Path, a.To, a.Addr} {
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

func sockaddr(a Attempt) (unix.Sockaddr, netip.Addr, error) {
	ip, err := netip.ParseAddr(a.Addr)
	if err != nil {
		return nil, ip, err
	}
	if a.Family == unix.AF_INET6 {
		return &unix.SockaddrInet6{Port: a.Port, Addr: ip.As16()}, ip.Unmap(), nil
	}
	return &unix.SockaddrInet4{Port: a.Port, Addr: ip.As4()}, ip, nil
}
