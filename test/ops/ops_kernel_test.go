//go:build kernel

// Package ops tries every operation by its real system call: allowed by a
// policy, denied by it, and free again without it.
package ops

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/internal/attempt"
	"github.com/snappy-policy/snappy/internal/kerneltest"
)

//vmtest:timeout 5m

func TestMain(m *testing.M) { attempt.Main(m) }

// natural is what an attempt comes to where nothing forbids it.
type trial struct {
	name    string
	policy  string
	allowed attempt.Attempt
	denied  attempt.Attempt
	errno   unix.Errno // of the denial
	event   string     // the line of the report, without the end ("pid …")
	natural unix.Errno // of both attempts where nothing forbids them
}

func inet(op, addr string, port int) attempt.Attempt {
	return attempt.Attempt{Op: op, Family: unix.AF_INET, Type: unix.SOCK_STREAM, Addr: addr, Port: port}
}

func inet6(op, addr string, port int) attempt.Attempt {
	return attempt.Attempt{Op: op, Family: unix.AF_INET6, Type: unix.SOCK_STREAM, Addr: addr, Port: port}
}

func trials(victim int) []trial {
	file := func(op, path string) attempt.Attempt { return attempt.Attempt{Op: op, Path: path, Mode: 0o600} }
	open := func(path string, flags int) attempt.Attempt {
		return attempt.Attempt{Op: "open", Path: path, Flags: flags}
	}
	two := func(op, path, to string) attempt.Attempt { return attempt.Attempt{Op: op, Path: path, To: to} }
	const refused = unix.ECONNREFUSED
	return []trial{
		{"exec", `deny exec as no-b when path == "/t/bin/b"`, file("exec", "/t/bin/a"), file("exec", "/t/bin/b"), unix.EACCES, "denied exec /t/bin/b by p.snp:2 (no-b)", 0},
		{"exec, allow-list", "default deny for exec\nallow exec when path matches \"/t/bin/a*\"", file("exec", "/t/bin/a"), file("exec", "/t/bin/b"), unix.EACCES, "denied exec /t/bin/b by p.snp:2 default", 0},
		{"file.open", `deny file.open when path matches "/t/d/*.conf" errno ENOENT`, open("/t/a", unix.O_RDONLY), open("/t/d/b.conf", unix.O_RDONLY), unix.ENOENT, "denied file.open /t/d/b.conf by p.snp:2", 0},
		{"file.read", `deny file.read when path under "/t/d"`, open("/t/d/a", unix.O_WRONLY), open("/t/d/a", unix.O_RDWR), unix.EACCES, "denied file.read /t/d/a by p.snp:2", 0},
		{"file.write", `deny file.write when path under "/t/d"`, open("/t/d/a", unix.O_RDONLY), open("/t/d/a", unix.O_WRONLY|unix.O_APPEND), unix.EACCES, "denied file.write /t/d/a by p.snp:2", 0},
		{"file.write by O_TRUNC", `deny file.write when path under "/t/d"`, open("/t/d/a", unix.O_RDONLY), open("/t/d/a", unix.O_RDONLY|unix.O_TRUNC), unix.EACCES, "denied file.write /t/d/a by p.snp:2", 0},
		{"file.open by access", `deny file.open when access has append and path == "/t/a"`, open("/t/a", unix.O_WRONLY), open("/t/a", unix.O_WRONLY|unix.O_APPEND), unix.EACCES, "denied file.open /t/a by p.snp:2", 0},
		{"unless", `deny file.write unless path in { "/t/a", "/t/w/**" }`, open("/t/a", unix.O_WRONLY), open("/t/d/a", unix.O_WRONLY), unix.EACCES, "denied file.write /t/d/a by p.snp:2", 0},
		{"when block", "when uid == 0 {\n    when path under \"/t/d\" {\n        deny file.open as deep when access has write\n    }\n}", open("/t/a", unix.O_WRONLY), open("/t/d/a", unix.O_WRONLY), unix.EACCES, "denied file.open /t/d/a by p.snp:4 (deep)", 0},
		{"file.create", `deny file.create when path == "/t/w/x"`, file("create", "/t/w/y"), file("create", "/t/w/x"), unix.EACCES, "denied file.create /t/w/x by p.snp:2", 0},
		{"file.mkdir", `deny file.mkdir when path == "/t/w/x"`, file("mkdir", "/t/w/y"), file("mkdir", "/t/w/x"), unix.EACCES, "denied file.mkdir /t/w/x by p.snp:2", 0},
		{"file.mknod", `deny file.mknod when path == "/t/w/x"`, file("mknod", "/t/w/y"), file("mknod", "/t/w/x"), unix.EACCES, "denied file.mknod /t/w/x by p.snp:2", 0},
		{"file.symlink", `deny file.symlink when path == "/t/w/x"`, two("symlink", "/t/w/y", "/t/a"), two("symlink", "/t/w/x", "/t/a"), unix.EACCES, "denied file.symlink /t/w/x", 0},
		{"file.unlink", `deny file.unlink when path == "/t/d/a"`, file("unlink", "/t/a"), file("unlink", "/t/d/a"), unix.EACCES, "denied file.unlink /t/d/a by p.snp:2", 0},
		{"file.rmdir", `deny file.rmdir when path == "/t/d/e/dir"`, file("rmdir", "/t/w/empty"), file("rmdir", "/t/d/e/dir"), unix.EACCES, "denied file.rmdir /t/d/e/dir by p.snp:2", 0},
		{"file.rename from", `deny file.rename when path == "/t/a"`, two("rename", "/t/d/a", "/t/w/x"), two("rename", "/t/a", "/t/w/x"), unix.EACCES, "denied file.rename /t/a -> /t/w/x by p.snp:2", 0},
		{"file.rename to", `deny file.rename when to under "/t/w"`, two("rename", "/t/d/a", "/t/c"), two("rename", "/t/d/a", "/t/w/x"), unix.EACCES, "denied file.rename /t/d/a -> /t/w/x by p.snp:2", 0},
		{"file.rename exchanged", `deny file.rename when to == "/t/d/a"`, two("exchange", "/t/a", "/t/d/e/f"), two("exchange", "/t/d/a", "/t/a"), unix.EACCES, "denied file.rename /t/d/a -> /t/a by p.snp:2", 0},
		{"file.change denies if any path matches", `deny file.change when path under "/t/w"`, two("rename", "/t/d/a", "/t/c"), two("rename", "/t/d/a", "/t/w/x"), unix.EACCES, "denied file.rename /t/d/a -> /t/w/x by p.snp:2", 0},
		{"file.change allows only if all paths match", "default deny for file.change\nallow file.change when path under \"/t/d\"", two("rename", "/t/d/a", "/t/d/new.conf"), two("rename", "/t/d/a", "/t/w/x"), unix.EACCES, "denied file.rename /t/d/a -> /t/w/x by p.snp:2 default", 0},
		{"file.link", `deny file.link when path == "/t/d/e/secret"`, two("link", "/t/a", "/t/w/x"), two("link", "/t/d/e/secret", "/t/w/x"), unix.EACCES, "denied file.link /t/d/e/secret -> /t/w/x by p.snp:2", 0},
		{"file.truncate", `deny file.truncate when path == "/t/a"`, file("truncate", "/t/d/a"), file("truncate", "/t/a"), unix.EACCES, "denied file.truncate /t/a by p.snp:2", 0},
		{"file.chmod", `deny file.chmod when mode & 0o111 != 0`, attempt.Attempt{Op: "chmod", Path: "/t/a", Mode: 0o600}, attempt.Attempt{Op: "chmod", Path: "/t/a", Mode: 0o755}, unix.EACCES, "denied file.chmod /t/a by p.snp:2", 0},
		{"file.chown", `deny file.chown when new.uid == 1000`, attempt.Attempt{Op: "chown", Path: "/t/a", UID: 33}, attempt.Attempt{Op: "chown", Path: "/t/a", UID: 1000}, unix.EACCES, "denied file.chown /t/a by p.snp:2", 0},
		{"net.socket", `deny net.socket when family == AF_INET and type == SOCK_STREAM`, attempt.Attempt{Op: "socket", Family: unix.AF_INET, Type: unix.SOCK_DGRAM}, attempt.Attempt{Op: "socket", Family: unix.AF_INET, Type: unix.SOCK_STREAM}, unix.EACCES, "denied net.socket family=2 type=1 protocol=0 by p.snp:2", 0},
		{"net.bind, ports", "set web = port { 80, 443, 8000..8079 }\ndeny net.bind unless port in web", inet("bind", "127.0.0.1", 8000), inet("bind", "127.0.0.1", 8085), unix.EACCES, "denied net.bind family=2 type=1 port=8085 by p.snp:3", 0},
		{"net.bind, IPv6", `deny net.bind when addr in ::1 and port == 8001`, inet6("bind", "::1", 8002), inet6("bind", "::1", 8001), unix.EACCES, "denied net.bind family=10 type=1 port=8001 by p.snp:2", 0},
		{"net.connect, CIDR", `deny net.connect unless addr in 127.0.0.0/30`, inet("connect", "127.0.0.1", 9), inet("connect", "127.0.0.9", 9), unix.EACCES, "denied net.connect family=2 type=1 port=9 by p.snp:2", refused},
		{"net.connect, IPv6", `deny net.connect when addr in ::/64 and port == 10`, inet6("connect", "::1", 9), inet6("connect", "::1", 10), unix.EACCES, "denied net.connect family=10 type=1 port=10 by p.snp:2", refused},
		{"net.connect, IPv4 in IPv6", `deny net.connect when addr in 127.0.0.0/8 and port == 10`, inet6("connect", "::ffff:127.0.0.1", 9), inet6("connect", "::ffff:127.0.0.1", 10), unix.EACCES, "denied net.connect family=10 type=1 port=10 by p.snp:2", refused},
		{"net.listen", `deny net.listen when port == 8085`, inet("listen", "127.0.0.1", 8001), inet("listen", "127.0.0.1", 8085), unix.EACCES, "denied net.listen family=2 type=1 port=8085 by p.snp:2", 0},
		{"process.signal", `deny process.signal when signal in { SIGTERM, SIGUSR1 } and target.pid != pid`, attempt.Attempt{Op: "signal", Target: victim, Signal: int(unix.SIGCONT)}, attempt.Attempt{Op: "signal", Target: victim, Signal: int(unix.SIGTERM)}, unix.EPERM, "denied process.signal signal=15", 0},
		{"process.ptrace", `deny process.ptrace when mode has attach`, attempt.Attempt{Op: "inspect", Target: victim}, attempt.Attempt{Op: "attach", Target: victim}, unix.EPERM, "denied process.ptrace mode=2", 0},
		{"capability", `deny capability when cap == CAP_SYS_CHROOT errno EACCES`, attempt.Attempt{Op: "hostname"}, attempt.Attempt{Op: "chroot"}, 0, "denied capability cap=18 by p.snp:2", 0},
	}
}

func TestOperations(t *testing.T) {
	h := kerneltest.Open(t)
	victim := kerneltest.Victim(t)
	u := attempt.Default(victim)
	require.NoError(t, u.Build())
	setup := attempt.Setup{Remember: []int{victim}}
	do := func(t *testing.T, a *attempt.Agent, what attempt.Attempt) unix.Errno {
		require.NoError(t, u.Reset())
		o, err := a.Do(what)
		require.NoError(t, err)
		return o.Errno
	}
	free := kerneltest.Agent(t, setup)
	cases := trials(victim)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			// Without the policy both work.
			require.Equal(t, c.natural, do(t, free, c.allowed), "%s, unconfined", c.allowed)
			require.Equal(t, c.natural, do(t, free, c.denied), "%s, unconfined", c.denied)

			space, err := h.Space("policy p\n" + c.policy + "\n")
			require.NoError(t, err)
			a, err := attempt.Start(setup)
			require.NoError(t, err)
			require.NoError(t, space.Enter(a.Facts.PID))
			_, err = h.Events()
			require.NoError(t, err)

			require.Equal(t, c.natural, do(t, a, c.allowed), "%s, allowed", c.allowed)
			events, err := h.Events()
			require.NoError(t, err)
			require.Empty(t, events)

			want := c.errno
			if c.name == "capability" { // the system call makes EPERM of any answer
				want = unix.EPERM
			}
			require.Equal(t, want, do(t, a, c.denied), "%s, denied", c.denied)
			events, err = h.Events()
			require.NoError(t, err)
			require.Len(t, events, 1)
			require.Contains(t, events[0].String(), c.event)
			require.Equal(t, space.ID(), events[0].Namespace)
			if events[0].Reason == "rule" {
				require.Equal(t, "p.snp", events[0].Rule.File)
			}
			require.NoError(t, a.Stop())
			require.NoError(t, space.Close())
			require.NoError(t, h.Manager.Collect())
		})
	}
	t.Logf("%d operations tried: allowed, denied and without policy", len(cases))
}

// kill denies, reports and kills; audit reports and allows.
func TestKillAndAudit(t *testing.T) {
	h := kerneltest.Open(t)
	u := attempt.Default(0)
	require.NoError(t, u.Build())
	require.NoError(t, u.Reset())
	space, err := h.Space("policy p\nkill file.write as trap when path == \"/t/a\"\naudit file.read as seen when path under \"/t\"\n")
	require.NoError(t, err)
	a := kerneltest.Agent(t, attempt.Setup{})
	require.NoError(t, space.Enter(a.Facts.PID))

	o, err := a.Do(attempt.Attempt{Op: "open", Path: "/t/a", Flags: unix.O_RDONLY})
	require.NoError(t, err)
	require.Zero(t, o.Errno)
	events, err := h.Events()
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Contains(t, events[0].String(), "audited file.read /t/a by p.snp:3 (seen)")

	before, err := os.ReadFile("/t/a")
	require.NoError(t, err)
	_, err = a.Do(attempt.Attempt{Op: "open", Path: "/t/a", Flags: unix.O_WRONLY | unix.O_TRUNC})
	require.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), "%v", err)
	status, err := a.Wait()
	require.NoError(t, err)
	require.True(t, status.Signaled())
	require.Equal(t, unix.SIGKILL, status.Signal())
	after, err := os.ReadFile("/t/a")
	require.NoError(t, err)
	require.Equal(t, before, after, "the file must not have been truncated")
	events, err = h.Events()
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Contains(t, events[0].String(), "killed file.write /t/a by p.snp:2 (trap)")
	require.NoError(t, space.Close())
}

// Layers only restrict, and the outermost that denies is the one reported.
func TestLayers(t *testing.T) {
	h := kerneltest.Open(t)
	u := attempt.Default(0)
	require.NoError(t, u.Build())
	require.NoError(t, u.Reset())
	space, err := h.Space("policy outer\ndeny file.open as outer when path under \"/t/d\"\n",
		"policy inner\nallow file.open\ndeny file.open as inner when path under \"/t/d/e\" errno EIO\ndeny file.open as other when path == \"/t/a\" errno EROFS\n")
	require.NoError(t, err)
	a := kerneltest.Agent(t, attempt.Setup{})
	require.NoError(t, space.Enter(a.Facts.PID))
	for _, c := range []struct {
		path  string
		errno unix.Errno
		rule  string
		layer int
	}{{"/t/d/e/f", unix.EACCES, "(outer)", 0}, {"/t/a", unix.EROFS, "(other)", 1}, {"/t/bin/a", 0, "", 0}} {
		o, err := a.Do(attempt.Attempt{Op: "open", Path: c.path})
		require.NoError(t, err)
		require.Equal(t, c.errno, o.Errno, c.path)
		events, err := h.Events()
		require.NoError(t, err)
		if c.errno == 0 {
			require.Empty(t, events)
			continue
		}
		require.Len(t, events, 1)
		require.Contains(t, events[0].String(), c.rule)
		require.Equal(t, c.layer, events[0].Layer)
	}
	require.NoError(t, space.Close())
}
