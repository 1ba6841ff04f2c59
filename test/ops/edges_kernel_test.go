//go:build kernel

package ops

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/internal/attempt"
	"github.com/snappy-policy/snappy/internal/kerneltest"
	"github.com/snappy-policy/snappy/runtime/audit"
)

// step is an attempt and what should come of it.
type step struct {
	attempt.Attempt
	natural unix.Errno // without a policy
	errno   unix.Errno // under it; 0 with no report: allowed
	reports []report
	killed  bool
}

// report is an event that should be there.
type report struct {
	verdict, op string
	line        uint32 // of the policy, from 1; the policy statement is line 1
	reason      string
	layer       int
}

func allow(a attempt.Attempt) step { return step{Attempt: a} }

func deny(a attempt.Attempt, errno unix.Errno, op string, line uint32) step {
	return step{Attempt: a, errno: errno, reports: []report{{verdict: "denied", op: op, line: line, reason: "rule"}}}
}

func (s step) because(reason string) step {
	s.reports[len(s.reports)-1].reason = reason
	return s
}

func (s step) inLayer(n int) step {
	s.reports[len(s.reports)-1].layer = n
	return s
}

// anyway tells what the attempt comes to without a policy; if it is allowed, under it too.
func (s step) anyway(natural unix.Errno) step {
	s.natural = natural
	if s.errno == 0 {
		s.errno = natural
	}
	return s
}

func audited(s step, op string, line uint32) step {
	s.reports = append([]report{{verdict: "audited", op: op, line: line, reason: "rule"}}, s.reports...)
	return s
}

func kill(a attempt.Attempt, op string, line uint32) step {
	return step{Attempt: a, killed: true, reports: []report{{verdict: "killed", op: op, line: line, reason: "rule"}}}
}

func open(path string, flags int) attempt.Attempt {
	return attempt.Attempt{Op: "open", Path: path, Flags: flags}
}

func on(op, path string) attempt.Attempt { return attempt.Attempt{Op: op, Path: path, Mode: 0o644} }

func pair(op, path, to string) attempt.Attempt { return attempt.Attempt{Op: op, Path: path, To: to} }

func socket(op string, family, typ int, addr string, port int) attempt.Attempt {
	return attempt.Attempt{Op: op, Family: family, Type: typ, Addr: addr, Port: port}
}

func tcp(op, addr string, port int) attempt.Attempt {
	family := unix.AF_INET
	if strings.Contains(addr, ":") {
		family = unix.AF_INET6
	}
	return socket(op, family, unix.SOCK_STREAM, addr, port)
}

// fixture is what all cases share.
type fixture struct {
	*kerneltest.Host
	universe *attempt.Universe
	steps    int
}

func (f *fixture) run(t *testing.T, setup attempt.Setup, steps []step, texts ...string) {
	t.Helper()
	setup.Remember = []int{f.universe.Victim}
	setup.Folders = true
	space, err := f.Space(texts...)
	require.NoError(t, err)
	defer func() { require.NoError(t, errors.Join(space.Destroy(), space.Close(), f.Manager.Collect())) }()
	agent := kerneltest.Agent(t, setup)
	for _, s := range steps {
		require.NoError(t, f.universe.Reset())
		o, err := agent.Do(s.Attempt)
		require.NoError(t, err)
		require.Equal(t, s.natural, o.Errno, "%s without a policy", s.Attempt)
	}
	require.NoError(t, space.Enter(agent.Facts.PID))
	for _, s := range steps {
		require.NoError(t, f.universe.Reset())
		f.steps++
		o, err := agent.Do(s.Attempt)
		if s.killed {
			require.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), "%s: %v", s.Attempt, err)
			status, err := agent.Wait()
			require.NoError(t, err)
			require.Equal(t, unix.SIGKILL, status.Signal(), "%s", s.Attempt)
		} else {
			require.NoError(t, err)
			require.Equal(t, s.errno, o.Errno, "%s", s.Attempt)
		}
		f.events(t, s)
		if s.killed {
			agent = kerneltest.Agent(t, setup)
			require.NoError(t, space.Enter(agent.Facts.PID))
		}
	}
	require.NoError(t, agent.Stop())
}

// events compares what was reported with what should be.
func (f *fixture) events(t *testing.T, s step) {
	t.Helper()
	events, err := f.Events()
	require.NoError(t, err)
	var got []report
	for _, e := range events {
		require.NotNil(t, e.Rule, "%s: %s", s.Attempt, e)
		require.Equal(t, "p.snp", e.Rule.File)
		got = append(got, report{e.Verdict, e.Operation, e.Rule.Line, e.Reason, e.Layer})
		require.Contains(t, e.String(), "p.snp:")
		if s.Path != "" && e.Path != nil && s.Dir == "" {
			require.Equal(t, path(s), e.Path.Text, "%s", s.Attempt)
		}
	}
	require.Equal(t, s.reports, got, "%s: %v", s.Attempt, texts(events))
}

func path(s step) string {
	if s.Path == "/t/link" && s.Op != "unlink" {
		return "/t/d/a"
	}
	return s.Path
}

func texts(events []*audit.Event) (out []string) {
	for _, e := range events {
		out = append(out, e.String())
	}
	return out
}

// TestEdges: what is particular about single operations and rules, with the
// event of each. Each denied attempt comes to what it does without a policy first.
func TestEdges(t *testing.T) {
	f := &fixture{Host: kerneltest.Open(t)}
	f.universe = attempt.Default(kerneltest.Victim(t))
	require.NoError(t, f.universe.Build())
	for _, addr := range []string{"127.0.0.1:8080", "[::1]:8080"} {
		l, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		defer l.Close()
	}
	victim := f.universe.Victim
	signal := func(sig unix.Signal) attempt.Attempt {
		return attempt.Attempt{Op: "signal", Target: victim, Signal: int(sig)}
	}
	trace := func(op string) attempt.Attempt { return attempt.Attempt{Op: op, Target: victim} }
	const rd, wr, rw = unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR
	const noent, acces, perm, inval = unix.ENOENT, unix.EACCES, unix.EPERM, unix.EINVAL

	for _, c := range []struct {
		name   string
		policy string // from line 2 on
		setup  attempt.Setup
		steps  []step
	}{
		{name: "exec", policy: `
deny exec as no-b when path == "/t/bin/b"
deny exec when setid errno ENOENT`,
			steps: []step{
				allow(on("exec", "/t/bin/a")),
				deny(on("exec", "/t/bin/b"), acces, "exec", 2),
				deny(on("exec", "/t/bin/s"), noent, "exec", 3),
				allow(open("/t/bin/b", rd)),
			}},
		{name: "open, read and write", policy: `
deny file.open when path matches "/t/d/e/*"
deny file.write when path under "/t/d"
deny file.read when path in { "/t/a", "/t/s/*" } errno EIO
deny file.open when access has append and path == "/t/b"`,
			steps: []step{
				deny(open("/t/d/e/f", rd), acces, "file.open", 2),
				deny(open("/t/d/e/secret", rw), acces, "file.open", 2),
				deny(open("/t/d/a", wr), acces, "file.write", 3),
				deny(open("/t/d/b.conf", rw), acces, "file.write", 3),
				deny(open("/t/d/a", rd|unix.O_TRUNC), acces, "file.write", 3),
				deny(open("/t/link", wr), acces, "file.write", 3),
				allow(open("/t/d/a", rd)),
				deny(open("/t/a", rd), unix.EIO, "file.read", 4),
				deny(open("/t/a", rw), unix.EIO, "file.read", 4),
				allow(open("/t/a", wr)),
				deny(open("/t/s/a", rd), unix.EIO, "file.read", 4),
				deny(open("/t/b", wr|unix.O_APPEND), acces, "file.open", 5),
				allow(open("/t/b", rw)),
				allow(on("exec", "/t/bin/a")),
			}},
		{name: "members of file.change", policy: `
deny file.create as create when path under "/t/w"
deny file.mkdir when path under "/t/w"
deny file.mknod when path under "/t/w" and mode & 0o170000 == 0o010000
deny file.symlink when target under "/t/d"
deny file.unlink when path == "/t/d/a"
deny file.rmdir when path under "/t/w"
deny file.truncate when path == "/t/a"
deny file.chmod when mode & 0o022 != 0
deny file.chown when new.uid == 33`,
			steps: []step{
				deny(on("create", "/t/w/x"), acces, "file.create", 2), allow(on("create", "/t/c")),
				deny(on("creat", "/t/w/x"), acces, "file.create", 2), allow(on("creat", "/t/c")),
				deny(on("mkdir", "/t/w/x"), acces, "file.mkdir", 3), allow(on("mkdir", "/t/c")),
				deny(on("mknod", "/t/w/y"), acces, "file.mknod", 4), allow(on("mknod", "/t/c")),
				deny(pair("symlink", "/t/c", "/t/d/x"), acces, "file.symlink", 5), allow(pair("symlink", "/t/c", "/t/a")),
				deny(on("unlink", "/t/d/a"), acces, "file.unlink", 6), allow(on("unlink", "/t/a")),
				deny(on("rmdir", "/t/w/empty"), acces, "file.rmdir", 7), allow(on("rmdir", "/t/d/e/dir")),
				deny(on("truncate", "/t/a"), acces, "file.truncate", 8), allow(on("truncate", "/t/d/a")),
				deny(open("/t/a", wr|unix.O_TRUNC), acces, "file.truncate", 8),
				deny(attempt.Attempt{Op: "chmod", Path: "/t/a", Mode: 0o666}, acces, "file.chmod", 9),
				allow(attempt.Attempt{Op: "chmod", Path: "/t/a", Mode: 0o600}),
				deny(attempt.Attempt{Op: "chown", Path: "/t/a", UID: 33}, acces, "file.chown", 10),
				allow(attempt.Attempt{Op: "chown", Path: "/t/a", UID: 1000}),
			}},
		{name: "two paths", policy: `
deny file.rename when path == "/t/b" or to == "/t/w/y"
deny file.link when to under "/t/w"`,
			steps: []step{
				deny(pair("rename", "/t/b", "/t/w/x"), acces, "file.rename", 2),
				deny(pair("rename", "/t/a", "/t/w/y"), acces, "file.rename", 2),
				allow(pair("rename", "/t/a", "/t/w/x")),
				allow(pair("rename", "/t/a", "/t/b")),
				deny(pair("exchange", "/t/b", "/t/a"), acces, "file.rename", 2),
				deny(pair("exchange", "/t/a", "/t/b"), acces, "file.rename", 2),
				allow(pair("exchange", "/t/a", "/t/d/a")),
				deny(pair("link", "/t/a", "/t/w/x"), acces, "file.link", 3),
				allow(pair("link", "/t/a", "/t/c")),
			}},
		{name: "an allow of a group is of all paths", policy: `
default deny for file.change
default allow for file.mkdir
allow file.change when path under "/t/d"`,
			steps: []step{
				allow(pair("rename", "/t/d/a", "/t/d/new.conf")),
				deny(pair("rename", "/t/d/a", "/t/c"), acces, "file.rename", 2).because("default"),
				deny(pair("rename", "/t/a", "/t/d/new.conf"), acces, "file.rename", 2).because("default"),
				deny(pair("link", "/t/a", "/t/d/new.conf"), acces, "file.link", 2).because("default"),
				allow(pair("link", "/t/d/a", "/t/d/new.conf")),
				allow(on("mkdir", "/t/c")),
				deny(on("create", "/t/c"), acces, "file.create", 2).because("default"),
				deny(open("/t/a", wr), acces, "file.write", 2).because("default"),
				allow(open("/t/a", rd)),
				allow(open("/t/d/a", wr|unix.O_TRUNC)),
			}},
		{name: "net.socket", policy: `
deny net.socket when family == AF_INET6
deny net.socket when family == AF_NETLINK and type == SOCK_RAW errno EIO
deny net.socket when family == AF_INET and protocol == 17`,
			steps: []step{
				deny(attempt.Attempt{Op: "socket", Family: unix.AF_INET6, Type: unix.SOCK_STREAM}, acces, "net.socket", 2),
				deny(attempt.Attempt{Op: "socket", Family: unix.AF_NETLINK, Type: unix.SOCK_RAW}, unix.EIO, "net.socket", 3),
				deny(attempt.Attempt{Op: "socket", Family: unix.AF_INET, Type: unix.SOCK_DGRAM, Proto: unix.IPPROTO_UDP}, acces, "net.socket", 4),
				allow(attempt.Attempt{Op: "socket", Family: unix.AF_INET, Type: unix.SOCK_DGRAM}),
				allow(attempt.Attempt{Op: "socket", Family: unix.AF_UNIX, Type: unix.SOCK_STREAM}),
			}},
		{name: "net.bind", policy: `
default deny for net.bind
allow net.bind when port in { 80, 8000..8099 } and addr in { 127.0.0.0/8, ::1 }
deny net.bind when addr in 127.0.0.2/31
deny net.bind when type == SOCK_DGRAM and protocol == 17`,
			steps: []step{
				allow(tcp("bind", "127.0.0.1", 80)), allow(tcp("bind", "127.0.0.1", 8099)), allow(tcp("bind", "::1", 8000)),
				allow(tcp("bind", "::ffff:127.0.0.1", 8000)),
				deny(tcp("bind", "127.0.0.1", 8100), acces, "net.bind", 2).because("default"),
				deny(tcp("bind", "0.0.0.0", 8000), acces, "net.bind", 2).because("default"),
				deny(tcp("bind", "::", 8000), acces, "net.bind", 2).because("default"),
				deny(tcp("bind", "127.0.0.3", 8000), acces, "net.bind", 4),
				deny(tcp("bind", "::ffff:127.0.0.2", 8000), acces, "net.bind", 4),
				deny(socket("bind", unix.AF_INET, unix.SOCK_DGRAM, "127.0.0.1", 8000), acces, "net.bind", 5),
				deny(attempt.Attempt{Op: "bind", Family: unix.AF_INET, Type: unix.SOCK_STREAM, Addr: "127.0.0.1", Port: 8000, Layout: attempt.LayoutShort}, acces, "net.bind", 4).because("unresolved").anyway(inval),
			}},
		{name: "net.connect", policy: `
deny net.connect when addr in { 127.0.0.1, fd00::/8 } and port == 8080
deny net.connect when addr in ::1 errno ENETUNREACH`,
			steps: []step{
				deny(tcp("connect", "127.0.0.1", 8080), acces, "net.connect", 2),
				deny(tcp("connect", "::1", 8080), unix.ENETUNREACH, "net.connect", 3),
				deny(socket("connect", unix.AF_INET6, unix.SOCK_DGRAM, "::ffff:127.0.0.1", 8080), acces, "net.connect", 2),
				allow(socket("connect", unix.AF_INET, unix.SOCK_DGRAM, "127.0.0.2", 8080)),
				allow(tcp("connect", "127.0.0.1", 9)).anyway(unix.ECONNREFUSED),
				allow(attempt.Attempt{Op: "connect", Family: unix.AF_INET, Type: unix.SOCK_DGRAM, Addr: "127.0.0.1", Port: 8080, Layout: attempt.LayoutUnspec}),
				deny(attempt.Attempt{Op: "connect", Family: unix.AF_INET, Type: unix.SOCK_STREAM, Addr: "127.0.0.1", Port: 8080, Layout: attempt.LayoutShort}, acces, "net.connect", 2).because("unresolved").anyway(inval),
			}},
		{name: "net.listen", policy: `
deny net.listen when port == 8000
deny net.listen when addr in ::1
deny net.listen when port == 0 and addr in 0.0.0.0 errno EIO`,
			steps: []step{
				deny(tcp("listen", "127.0.0.1", 8000), acces, "net.listen", 2),
				deny(tcp("listen", "::ffff:127.0.0.1", 8000), acces, "net.listen", 2),
				deny(tcp("listen", "::1", 8001), acces, "net.listen", 3),
				allow(tcp("listen", "127.0.0.1", 8001)),
				deny(attempt.Attempt{Op: "listen", Family: unix.AF_INET, Type: unix.SOCK_STREAM}, unix.EIO, "net.listen", 4),
			}},
		{name: "process.signal", policy: `
deny process.signal when signal in { SIGTERM, SIGUSR1 } and target.comm == "victim" and target.uid == 33
deny process.signal when signal == 0 errno ENOENT`,
			steps: []step{
				deny(signal(unix.SIGTERM), perm, "process.signal", 2),
				deny(signal(unix.SIGUSR1), perm, "process.signal", 2),
				deny(signal(0), unix.ENOENT, "process.signal", 3),
				allow(signal(unix.SIGCONT)),
			}},
		{name: "process.ptrace", policy: `
deny process.ptrace when mode has attach and target.comm matches "vic*" errno EIO`,
			steps: []step{
				deny(trace("attach"), unix.EIO, "process.ptrace", 2),
				deny(trace("peek"), perm, "process.ptrace", 2).anyway(unix.EFAULT),
				allow(trace("inspect")),
			}},
		{name: "process.ptrace, reading", policy: `
deny process.ptrace when mode has read`,
			steps: []step{deny(trace("inspect"), acces, "process.ptrace", 2), allow(trace("attach"))}},
		{name: "capability", policy: `
deny capability when cap in { CAP_SYS_CHROOT, CAP_NET_BIND_SERVICE } errno EIO
deny capability when cap == CAP_CHOWN`,
			steps: []step{
				deny(attempt.Attempt{Op: "chroot"}, perm, "capability", 2),
				allow(attempt.Attempt{Op: "reboot"}).anyway(inval),
				deny(tcp("bind", "127.0.0.1", 80), acces, "capability", 2),
				allow(tcp("bind", "127.0.0.1", 8000)),
				deny(attempt.Attempt{Op: "chown", Path: "/t/a", UID: 1000}, perm, "capability", 3),
			}},
		{name: "kill", policy: `
kill file.unlink when path == "/t/a"
kill net.socket when family == AF_NETLINK
kill capability when cap == CAP_SYS_CHROOT`,
			steps: []step{
				allow(on("unlink", "/t/d/a")),
				kill(on("unlink", "/t/a"), "file.unlink", 2),
				kill(attempt.Attempt{Op: "socket", Family: unix.AF_NETLINK, Type: unix.SOCK_RAW}, "net.socket", 3),
				kill(attempt.Attempt{Op: "chroot"}, "capability", 4),
			}},
		{name: "audit", policy: `
audit file.read as look when path under "/t/d"
audit file.open when path under "/t/d"
deny file.write when path == "/t/d/a"`,
			steps: []step{
				audited(allow(open("/t/d/b.conf", rd)), "file.read", 2),
				audited(allow(open("/t/d/b.conf", wr)), "file.open", 3),
				audited(deny(open("/t/d/a", rw), acces, "file.write", 4), "file.read", 2),
				allow(open("/t/a", rd)),
			}},
		{name: "errno, unless, because", policy: `
deny file.open as secret when path under "/t/d/e" unless path == "/t/d/e/f" errno ENOENT because "not yours"`,
			steps: []step{deny(open("/t/d/e/secret", rd), noent, "file.open", 2), allow(open("/t/d/e/f", rd))}},
		{name: "when blocks, as root", policy: `
when uid == 0 and comm == "prober" {
    deny file.open when path == "/t/a"
    when caps has CAP_NET_RAW {
        deny file.open when path == "/t/b"
    }
}`, setup: attempt.Setup{Drop: 1 << unix.CAP_NET_RAW},
			steps: []step{deny(open("/t/a", rd), acces, "file.open", 3), allow(open("/t/b", rd))}},
		{name: "when blocks, as somebody", policy: `
when uid == 0 { deny file.open when path == "/t/a" }
when uid == 1000 and euid == 0 and gid == 33 and egid == 1 { deny file.open when path == "/t/b" }`,
			setup: attempt.Setup{UID: 1000, GID: 33, EGID: 1},
			steps: []step{allow(open("/t/a", rd)), deny(open("/t/b", rd), acces, "file.open", 3)}},
		{name: "defaults", policy: `
default deny for file.open
allow file.open when path in { "/t/a", "/t/bin/*" }`,
			steps: []step{
				allow(open("/t/a", rw)),
				deny(open("/t/b", rd), acces, "file.open", 2).because("default"),
				allow(on("exec", "/t/bin/a")),
				allow(on("mkdir", "/t/c")),
			}},
		{name: "deny before allow, kill before deny", policy: `
allow file.open
deny file.open when path == "/t/a"
deny file.open when path == "/t/b"
kill file.open when path == "/t/b"`,
			steps: []step{deny(open("/t/a", rd), acces, "file.open", 3), allow(open("/t/d/a", rd)), kill(open("/t/b", rd), "file.open", 5)}},
		{name: "unnamed files", policy: `
deny file.open when memfd errno EIO
deny file.open when path == "/t/a"`,
			steps: []step{
				deny(attempt.Attempt{Op: "memfd", Flags: rd}, unix.EIO, "file.open", 2),
				deny(open("/t/a", rd), acces, "file.open", 3), allow(open("/t/b", rd)),
			}},
		{name: "nothing", policy: `
default allow`, steps: []step{allow(open("/t/a", rw)), allow(on("exec", "/t/bin/a"))}},
	} {
		t.Run(c.name, func(t *testing.T) { f.run(t, c.setup, c.steps, "policy ops"+c.policy+"\n") })
	}

	t.Run("layers", func(t *testing.T) {
		f.run(t, attempt.Setup{}, []step{
			deny(open("/t/a", rd), acces, "file.open", 2),
			deny(open("/t/b", rd), noent, "file.open", 2).inLayer(1),
			deny(open("/t/d/a", rd), unix.EIO, "file.open", 3).inLayer(2),
			allow(open("/t/d/b.conf", rd)),
		}, "policy outer\ndeny file.open when path == \"/t/a\"\n",
			"policy middle\ndeny file.open when path in { \"/t/a\", \"/t/b\" } errno ENOENT\n",
			"policy inner\n# a comment\ndeny file.open when path in { \"/t/b\", \"/t/d/a\" } errno EIO\n")
	})

	// The exec that enters a namespace is judged by it.
	t.Run("start", func(t *testing.T) {
		space, err := f.Space("policy start\ndeny exec when path == \"/t/bin/b\"\n")
		require.NoError(t, err)
		defer func() { require.NoError(t, errors.Join(space.Destroy(), space.Close())) }()
		require.ErrorIs(t, space.Start(exec.Command("/t/bin/b")), unix.EACCES)
		events, err := f.Events()
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, "exec", events[0].Operation)
		require.EqualValues(t, os.Getpid(), events[0].PPID)
		cmd := exec.Command("/t/bin/a")
		require.NoError(t, space.Start(cmd))
		require.NoError(t, cmd.Wait())
	})
	t.Logf("%d attempts under policies", f.steps)
}
