//go:build kernel

//vmtest:timeout 300s

package namespace

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
)

// TestOrder: the first layer that does not allow decides, whatever others say.
func TestOrder(t *testing.T) {
	m := open(t)
	target, other := file(t, "target"), file(t, "other")
	allow := load(t, m, policy("allow", programs{"file_open": verdict(0)}))
	first := load(t, m, policy("eacces", programs{"file_open": onFile(t, target, unix.EACCES)}))
	second := load(t, m, policy("eperm", programs{"file_open": onFile(t, target, unix.EPERM)}))
	elsewhere := load(t, m, policy("elsewhere", programs{"path_mkdir": verdict(unix.EROFS)}))
	for _, c := range []struct {
		name     string
		policies []*Policy
		open     string
		mkdir    string
	}{
		{"allow", []*Policy{allow}, "ok", "ok"},
		{"deny", []*Policy{first}, eacces, "ok"},
		{"deny, allow", []*Policy{first, allow}, eacces, "ok"},
		{"allow, deny", []*Policy{allow, first}, eacces, "ok"},
		{"deny, deny otherwise", []*Policy{first, second}, eacces, "ok"},
		{"the other way round", []*Policy{second, first}, eperm, "ok"},
		{"another hook only", []*Policy{elsewhere}, "ok", "30"},
		{"gap before", []*Policy{elsewhere, allow, elsewhere, second}, eperm, "30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := create(t, m, nil, c.policies...)
			agent := newChild(t, n.Start)
			require.Equal(t, c.open, agent.do("open %s", target))
			require.Equal(t, "ok", agent.do("open %s", other))
			require.Equal(t, c.mkdir, agent.do("mkdir %s/d", t.TempDir()))
			_, err := os.ReadFile(target)
			require.NoError(t, err, "outside of the namespace")
		})
	}
}

// TestChild: a child namespace has its parent's policies before its own.
func TestChild(t *testing.T) {
	m := open(t)
	a, b := file(t, "a"), file(t, "b")
	outer := create(t, m, nil, load(t, m, policy("outer", programs{"file_open": onFile(t, a, unix.EACCES)})))
	inner := create(t, m, outer, load(t, m, policy("inner", programs{"file_open": onFile(t, b, unix.EPERM)})))
	in := newChild(t, inner.Start)
	require.Equal(t, eacces, in.do("open %s", a))
	require.Equal(t, eperm, in.do("open %s", b))
	out := newChild(t, outer.Start)
	require.Equal(t, eacces, out.do("open %s", a))
	require.Equal(t, "ok", out.do("open %s", b))

	infos, err := m.Namespaces()
	require.NoError(t, err)
	require.Equal(t, []Info{
		{ID: outer.ID(), Depth: 1, Slots: []uint32{1}},
		{ID: inner.ID(), Parent: outer.ID(), Depth: 2, Slots: []uint32{1, 2}},
	}, infos)

	// Down is allowed, up and sideways is not.
	require.NoError(t, inner.Enter(out.cmd.Process.Pid))
	require.Equal(t, eperm, out.do("open %s", b))
	require.ErrorIs(t, outer.Enter(out.cmd.Process.Pid), ErrNotDescendant)
	side := create(t, m, nil, load(t, m, policy("side", programs{"file_open": verdict(0)})))
	require.ErrorIs(t, side.Enter(out.cmd.Process.Pid), ErrNotDescendant)
	require.Equal(t, eacces, out.do("open %s", a))

	require.ErrorIs(t, outer.Destroy(), ErrChildren)
	require.ErrorIs(t, inner.Destroy(), ErrMembers)
}

// TestLimits: sixteen layers and generations, not more.
func TestLimits(t *testing.T) {
	m := open(t)
	target := file(t, "target")
	allow := load(t, m, policy("allow", programs{"file_open": verdict(0)}))
	deny := load(t, m, policy("deny", programs{"file_open": onFile(t, target, unix.EACCES)}))
	var policies []*Policy
	for range abi.MaxLayers - 1 {
		policies = append(policies, allow)
	}
	agent := newChild(t, create(t, m, nil, append(policies, deny)...).Start)
	require.Equal(t, eacces, agent.do("open %s", target))
	require.Equal(t, "ok", agent.do("open %s", file(t, "other")))
	_, err := m.Create(nil, append(policies, deny, allow)...)
	require.ErrorIs(t, err, ErrTooDeep)
	_, err = m.Create(nil)
	require.ErrorIs(t, err, ErrNoPolicy)

	var parent *Namespace
	for range abi.MaxLayers {
		parent = create(t, m, parent, allow)
	}
	_, err = m.Create(parent, allow)
	require.ErrorIs(t, err, ErrTooDeep)
	leaf := newChild(t, parent.Start)
	require.Equal(t, "ok", leaf.do("open %s", target))
	require.Equal(t, "ok", leaf.do("fork open %s", target))
}

// TestInheritance: threads, children and execs stay in the namespace.
func TestInheritance(t *testing.T) {
	m := open(t)
	target := file(t, "target")
	n := create(t, m, nil, load(t, m, policy("deny", programs{"file_open": onFile(t, target, unix.EACCES)})))
	for name, agent := range map[string]*child{
		"started": newChild(t, n.Start),
		"entered": newChild(t, func(cmd *exec.Cmd) error {
			require.NoError(t, cmd.Start())
			return n.Enter(cmd.Process.Pid)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, eacces, agent.do("open %s", target))
			require.Equal(t, eacces, agent.do("fork open %s", target))
			require.Equal(t, eacces, agent.do("fork fork open %s", target))
			require.Equal(t, strings.Repeat(","+eacces, 8)[1:], agent.do("threads 8 %s", target))
			require.Equal(t, "ok", agent.do("become"))
			require.Equal(t, eacces, agent.do("open %s", target))
			require.Equal(t, eacces, agent.do("fork open %s", target))
			require.Equal(t, strings.Repeat(","+eacces, 4)[1:], agent.do("threads 4 %s", target))
			members, err := n.Members()
			require.NoError(t, err)
			own := 0
			for _, member := range members {
				require.False(t, member.Armed)
				if int(member.PID) == agent.cmd.Process.Pid {
					own++
				}
			}
			entries, err := os.ReadDir(filepath.Join("/proc", itoa(agent.cmd.Process.Pid), "task"))
			require.NoError(t, err)
			require.Len(t, entries, own)
		})
	}
	_, err := os.ReadFile(target)
	require.NoError(t, err)
}

// TestEnterThreads: all threads of a process that goes on making threads enter.
func TestEnterThreads(t *testing.T) {
	m := open(t)
	target := file(t, "target")
	n := create(t, m, nil, load(t, m, policy("deny", programs{"file_open": onFile(t, target, unix.EACCES)})))
	agent := newChild(t, (*exec.Cmd).Start)
	require.Equal(t, strings.Repeat(",ok", 20)[1:], agent.do("threads 20 %s", target))
	agent.send("threads 30 %s", target)
	require.NoError(t, n.Enter(agent.cmd.Process.Pid))
	require.True(t, agent.out.Scan())
	for range 5 {
		require.Equal(t, strings.Repeat(","+eacces, 10)[1:], agent.do("threads 10 %s", target))
	}
	require.ErrorIs(t, n.Enter(os.Getpid()), ErrInside)
	require.ErrorIs(t, n.Enter(1<<22-1), ErrNoTask)
}

// TestExec: the exec that enters a namespace is judged by it.
func TestExec(t *testing.T) {
	m := open(t)
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	denied, allowed := filepath.Join(t.TempDir(), "denied"), filepath.Join(t.TempDir(), "allowed")
	require.NoError(t, os.WriteFile(denied, self, 0o755))
	require.NoError(t, os.WriteFile(allowed, self, 0o755))
	n := create(t, m, nil, load(t, m, policy("noexec", programs{
		"bprm_check_security": onFile(t, denied, unix.EACCES, "linux_binprm", "file")})))
	once := func(program string) *exec.Cmd {
		cmd := exec.Command(program)
		cmd.Env = []string{agentEnv + "=once nothing"}
		return cmd
	}
	require.ErrorIs(t, n.Start(once(denied)), unix.EACCES)
	require.ErrorIs(t, n.Start(once("/does/not/exist")), unix.ENOENT)
	members, err := n.Members()
	require.NoError(t, err)
	require.Empty(t, members)

	cmd := once(allowed)
	require.NoError(t, n.Start(cmd))
	require.NoError(t, cmd.Wait())
	agent := newChild(t, n.Start)
	require.Equal(t, eacces, agent.do("run %s", denied))
	require.Equal(t, "ok", agent.do("run %s", allowed))

	// The manager's threads are not armed any more.
	for range 20 {
		require.NoError(t, once(denied).Run())
	}
	s, err := m.lock()
	require.NoError(t, err)
	defer s.unlock()
	tasks, err := s.tasks()
	require.NoError(t, err)
	for _, task := range tasks {
		require.NotEqual(t, uint32(os.Getpid()), task.TGID, "a record of the manager is left")
	}
}

// TestStartFaults: a command runs only in the namespace.
func TestStartFaults(t *testing.T) {
	fail := ""
	m := openWith(t, func(step string) error {
		if step == fail {
			return errInjected
		}
		return nil
	})
	n := create(t, m, nil, load(t, m, policy("allow", programs{"file_open": verdict(0)})))
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{agentEnv + "=once nothing"}
	fail = "arm"
	require.ErrorIs(t, n.Start(cmd), errInjected)
	require.Nil(t, cmd.Process)

	// A thread that cannot be disarmed is not used again.
	fail = "disarm"
	done := make(chan error)
	go func() { done <- n.Start(cmd) }()
	require.ErrorIs(t, <-done, ErrArmed)
	require.NoError(t, cmd.Wait())
	fail = ""
	require.Eventually(t, func() bool {
		members, err := n.Members()
		require.NoError(t, err)
		return len(members) == 0
	}, 5*time.Second, 10*time.Millisecond, "the thread ends with its goroutine")

	stale, err := m.Namespace(n.ID())
	require.NoError(t, err)
	require.NoError(t, n.Destroy())
	require.ErrorIs(t, stale.Start(exec.Command("/proc/self/exe")), ErrGone)
	require.NoError(t, stale.Close())
}

// TestEmptySlot: a policy that should be there and is not denies.
func TestEmptySlot(t *testing.T) {
	m := open(t)
	target := file(t, "target")
	allow := load(t, m, policy("allow", programs{"file_open": verdict(0)}))
	second := load(t, m, policy("second", programs{"file_open": verdict(0)}))
	n := create(t, m, nil, allow, second)
	agent := newChild(t, n.Start)
	require.Equal(t, "ok", agent.do("open %s", target))
	events := newEvents(t, m)
	s, err := m.lock()
	require.NoError(t, err)
	require.NoError(t, s.empty("file_open", second.Slot))
	s.unlock()
	require.Equal(t, eperm, agent.do("open %s", target))
	e := events()
	require.Equal(t, uint8(abi.ReasonNoPolicy), e.Reason)
	require.Equal(t, uint8(abi.VerdictDeny), e.Verdict)
	require.Equal(t, uint8(1), e.Layer)
	require.Equal(t, uint16(unix.EPERM), e.Errno)
	require.Equal(t, uint16(abi.EventHeader), e.Size)
	require.Equal(t, uint8(1), e.Version)
	require.Equal(t, n.ID(), e.Namespace)
	require.Equal(t, uint16(0xffff), e.Op)
	require.Equal(t, uint16(1), e.Hook)
	require.Equal(t, uint32(agent.cmd.Process.Pid), e.PID)
	require.Equal(t, uint32(os.Getpid()), e.PPID)
	require.Zero(t, e.UID)
	require.Zero(t, e.Policy)
	require.Equal(t, "exe", strings.TrimRight(string(e.Comm[:]), "\x00"))
	require.NotZero(t, e.Time)
}

// TestCorruptRecord: a record that names no namespace, or one that is gone, denies.
func TestCorruptRecord(t *testing.T) {
	m := open(t)
	target := file(t, "target")
	n := create(t, m, nil, load(t, m, policy("allow", programs{"file_open": verdict(0)})))
	agent := newChild(t, n.Start)
	fd, err := unix.PidfdOpen(agent.cmd.Process.Pid, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	tasks, err := m.Map(abi.MapTasks)
	require.NoError(t, err)
	defer tasks.Close()
	events := newEvents(t, m)
	for _, id := range []uint64{n.ID() + abi.MaxSpaces, n.ID() + 1, abi.MaxSpaces, 1 << 63} {
		require.NoError(t, tasks.Put(uint32(fd), abi.TaskRecord{ID: id}))
		require.Equal(t, eperm, agent.do("open %s", target), "id %d", id)
		e := events()
		for e.Namespace != id { // the Go runtime may have opened something too
			e = events()
		}
		require.Equal(t, uint8(abi.ReasonBroken), e.Reason)
		require.NoError(t, tasks.Put(uint32(fd), abi.TaskRecord{ID: n.ID()}))
	}
	require.Equal(t, "ok", agent.do("open %s", target))
}

// TestSharedPolicy: equal objects are one policy; it is unloaded when nobody has it.
func TestSharedPolicy(t *testing.T) {
	m := open(t)
	object := policy("one", programs{"file_open": verdict(0), "task_kill": verdict(0)})
	a := load(t, m, object)
	b := load(t, m, object)
	require.Equal(t, a.Slot, b.Slot)
	require.Equal(t, a.ID, b.ID)
	other := load(t, m, policy("two", programs{"file_open": verdict(0)}))
	require.NotEqual(t, a.Slot, other.Slot)
	require.NotEqual(t, a.ID, other.ID)
	all, err := m.Policies()
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, []string{"file_open", "task_kill"}, all[0].Hooks)

	n := create(t, m, nil, a)
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
	require.NoError(t, other.Close())
	require.NoError(t, m.Collect())
	all, err = m.Policies()
	require.NoError(t, err)
	require.Len(t, all, 1, "the namespace has it")
	require.NoError(t, n.Close())
	require.NoError(t, m.Collect())
	_, err = m.Create(nil, a)
	require.ErrorIs(t, err, ErrGone)
	require.ErrorIs(t, n.Start(exec.Command("/proc/self/exe")), ErrGone)
	_, err = m.Namespace(n.ID())
	require.ErrorIs(t, err, ErrGone)
	// Ids go on after the core was removed.
	again := load(t, m, object)
	require.Greater(t, again.ID, other.ID)
	require.Greater(t, create(t, m, nil, again).ID(), n.ID())
}

// TestAttachedOnDemand: dispatchers are there only while a namespace needs them.
func TestAttachedOnDemand(t *testing.T) {
	m := open(t)
	p := load(t, m, policy("p", programs{"file_open": verdict(0)}))
	pin := m.path(hooksDir, "file_open", "link")
	require.NoFileExists(t, pin)
	n := create(t, m, nil, p)
	require.FileExists(t, pin)
	require.NoError(t, n.Destroy())
	require.NoFileExists(t, pin)
	require.FileExists(t, m.path(hooksDir, "file_open", "slots"))
}

// TestCollect frees what nobody keeps, from the leaves up.
func TestCollect(t *testing.T) {
	m := open(t)
	p := load(t, m, policy("p", programs{"file_open": verdict(0)}))
	parent := create(t, m, nil, p)
	leaf := create(t, m, parent, p)
	require.NoError(t, parent.Close())
	require.NoError(t, m.Collect())
	infos, err := m.Namespaces()
	require.NoError(t, err)
	require.Len(t, infos, 2, "the child is kept, and so is its parent")
	agent := newChild(t, leaf.Start)
	require.NoError(t, leaf.Close())
	require.NoError(t, m.Collect())
	infos, err = m.Namespaces()
	require.NoError(t, err)
	require.Len(t, infos, 2, "the child has a member")
	agent.stop()
	require.NoError(t, m.Collect())
	infos, err = m.Namespaces()
	require.NoError(t, err)
	require.Empty(t, infos)
}
