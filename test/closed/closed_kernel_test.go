//go:build kernel

// Package closed tests that what cannot be resolved or is broken is denied, and
// that the event says so.
package closed

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/internal/attempt"
	"github.com/snappy-policy/snappy/internal/kerneltest"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/runtime/namespace"
)

//vmtest:timeout 5m

func TestMain(m *testing.M) { attempt.Main(m) }

// in is an attempt by a relative name in a folder without a path.
func in(dir, op, path, to string) attempt.Attempt {
	return attempt.Attempt{Op: op, Dir: dir, Path: path, To: to, Mode: 0o644}
}

// nowhere are attempts whose paths cannot be resolved. All of them succeed if nobody forbids it.
var nowhere = []struct {
	attempt.Attempt
	op string
}{
	{in(attempt.DirDeep, "open", "f", ""), "file.open"},
	{in(attempt.DirDeep, "create", "x", ""), "file.create"},
	{in(attempt.DirDeep, "mkdir", "x", ""), "file.mkdir"},
	{in(attempt.DirDeep, "mknod", "x", ""), "file.mknod"},
	{in(attempt.DirDeep, "symlink", "x", "f"), "file.symlink"},
	{in(attempt.DirDeep, "rename", "f", "x"), "file.rename"},
	{in(attempt.DirDeep, "link", "f", "x"), "file.link"},
	{in(attempt.DirDeep, "truncate", "f", ""), "file.truncate"},
	{in(attempt.DirDeep, "chmod", "f", ""), "file.chmod"},
	{in(attempt.DirDeep, "chown", "f", ""), "file.chown"},
	{in(attempt.DirDeep, "unlink", "f", ""), "file.unlink"},
	{in(attempt.DirDetached, "open", "f", ""), "file.open"},
	{in(attempt.DirDetached, "truncate", "f", ""), "file.truncate"},
	{in(attempt.DirDetached, "chmod", "f", ""), "file.chmod"},
	{in(attempt.DirElsewhere, "open", "a", ""), "file.open"},
	{in(attempt.DirElsewhere, "chmod", "a", ""), "file.chmod"},
}

type fixture struct {
	*kerneltest.Host
	universe *attempt.Universe
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{Host: kerneltest.Open(t), universe: attempt.Default(0)}
	require.NoError(t, f.universe.Build())
	return f
}

// agent starts an agent in a namespace of the policy.
func (f *fixture) agent(t *testing.T, policy string) (*attempt.Agent, *kerneltest.Space) {
	t.Helper()
	agent := kerneltest.Agent(t, attempt.Setup{Folders: true})
	if policy == "" {
		return agent, nil
	}
	space, err := f.Space(policy)
	require.NoError(t, err)
	require.NoError(t, space.Enter(agent.Facts.PID))
	t.Cleanup(func() {
		require.NoError(t, errors.Join(agent.Stop(), space.Destroy(), space.Close()))
	})
	return agent, space
}

func (f *fixture) try(t *testing.T, agent *attempt.Agent, a attempt.Attempt) unix.Errno {
	t.Helper()
	require.NoError(t, f.universe.Reset())
	o, err := agent.Do(a)
	require.NoError(t, err)
	return o.Errno
}

// TestUnresolvedPaths: a rule that needs a path counts against an event without
// one, whether it would deny or allow; a rule that is decided without it does not.
func TestUnresolvedPaths(t *testing.T) {
	f := newFixture(t)
	free, _ := f.agent(t, "")
	tries := 0
	for name, c := range map[string]struct {
		policy string
		denied bool
	}{
		"deny":              {"policy p\ndeny file.open, file.change as far when path == \"/nowhere\" errno EIO\n", true},
		"deny, not":         {"policy p\ndeny file.open, file.change as far when not (path under \"/\") errno EIO\n", true},
		"deny, all paths":   {"policy p\ndeny file.open, file.change as far when path matches \"**\" errno EIO\n", true},
		"kill":              {"policy p\nkill file.open, file.change as far when path == \"/nowhere\" errno EIO\n", true},
		"decided before":    {"policy p\ndeny file.open, file.change when path == \"/nowhere\" and uid == 4242\n", false},
		"decided by others": {"policy p\ndefault deny for file.open, file.change\nallow file.open, file.change when path == \"/nowhere\" or uid == 0\n", false},
		"no path":           {"policy p\ndeny file.open, file.change when uid == 4242\n", false},
		"audit":             {"policy p\naudit file.open, file.change when path == \"/nowhere\"\n", false},
		"not asked":         {"policy p\ndeny exec, file.rmdir when path == \"/nowhere\"\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			agent, _ := f.agent(t, c.policy)
			for _, a := range nowhere {
				require.Zero(t, f.try(t, free, a.Attempt), "%s, unconfined", a.Attempt)
				errno := f.try(t, agent, a.Attempt)
				events, err := f.Events()
				require.NoError(t, err)
				tries++
				if !c.denied {
					require.Zero(t, errno, "%s", a.Attempt)
					require.Empty(t, events, "%s", a.Attempt)
					continue
				}
				require.Equal(t, unix.EIO, errno, "%s", a.Attempt)
				require.Len(t, events, 1, "%s", a.Attempt)
				e := events[0]
				require.Equal(t, "denied", e.Verdict) // never killed
				require.Equal(t, "unresolved", e.Reason)
				require.Equal(t, a.op, e.Operation)
				require.Equal(t, "far", e.Rule.Name)
				require.EqualValues(t, 2, e.Rule.Line)
				require.True(t, e.Path.Unresolved, "%s", e)
			}
		})
	}
	t.Run("allow", func(t *testing.T) {
		agent, _ := f.agent(t, "policy p\ndefault deny for file.open, file.change\nallow file.open, file.change as near when path under \"/\"\n")
		for _, a := range nowhere {
			require.Equal(t, unix.EACCES, f.try(t, agent, a.Attempt), "%s", a.Attempt)
			events, err := f.Events()
			require.NoError(t, err)
			require.Len(t, events, 1)
			require.Equal(t, "unresolved", events[0].Reason)
			require.Equal(t, "near", events[0].Rule.Name)
			tries++
		}
		require.Zero(t, f.try(t, agent, attempt.Attempt{Op: "open", Path: "/t/a"}))
	})
	t.Logf("%d attempts without a path", tries)
}

// TestRemovedFolder: the kernel itself lets nothing be made in a removed folder;
// what it lets be done to the folder has its last name.
func TestRemovedFolder(t *testing.T) {
	f := newFixture(t)
	agent, _ := f.agent(t, "policy p\ndeny file.mkdir, file.create when path == \"/nowhere\"\ndeny file.chmod as gone when path matches \"/t/dead*\" errno EIO\n")
	for _, op := range []string{"mkdir", "create", "creat"} {
		require.Equal(t, unix.ENOENT, f.try(t, agent, in(attempt.DirDead, op, "x", "")), op)
	}
	events, err := f.Events()
	require.NoError(t, err)
	require.Empty(t, events)
	require.Equal(t, unix.EIO, f.try(t, agent, in(attempt.DirDead, "chmod", ".", "")))
	events, err = f.Events()
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, "gone", events[0].Rule.Name)
}

// TestMissingPolicy: a slot that should hold a program and does not denies.
func TestMissingPolicy(t *testing.T) {
	f := newFixture(t)
	agent, space := f.agent(t, "policy p\ndeny file.open when path == \"/t/b\"\n")
	open := attempt.Attempt{Op: "open", Path: "/t/a"}
	require.Zero(t, f.try(t, agent, open))
	slots, err := ebpf.LoadPinnedMap(namespace.DefaultPinDir+"/v1/hooks/file_open/slots", nil)
	require.NoError(t, err)
	defer slots.Close()
	require.NoError(t, slots.Delete(space.Policies[0].Loaded.Slot))
	require.Equal(t, unix.EPERM, f.try(t, agent, open))
	require.Zero(t, f.try(t, agent, attempt.Attempt{Op: "mkdir", Path: "/t/c"}), "another hook")
	events, err := f.Events()
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, "no-policy", events[0].Reason)
	require.Equal(t, "denied", events[0].Verdict)
	require.Equal(t, "EPERM", events[0].Errno)
	require.Equal(t, space.ID(), events[0].Namespace)
	require.Contains(t, events[0].String(), "denied file_open by a policy that is not loaded")
}

// TestBrokenRecord: a member of a namespace whose record is another's is denied
// whatever a hook guards.
func TestBrokenRecord(t *testing.T) {
	f := newFixture(t)
	agent, space := f.agent(t, "policy p\ndeny file.open when path == \"/t/b\"\n")
	spaces, err := f.Manager.Map(abi.MapSpaces)
	require.NoError(t, err)
	defer spaces.Close()
	table := make([]byte, abi.MaxSpaces*abi.SpaceSize)
	require.NoError(t, spaces.Lookup(uint32(0), table))
	id := table[abi.SpaceIndex(space.ID())*abi.SpaceSize+abi.SpaceID:][:8]
	require.Equal(t, space.ID(), binary.LittleEndian.Uint64(id))
	binary.LittleEndian.PutUint64(id, space.ID()+abi.MaxSpaces)
	require.NoError(t, spaces.Put(uint32(0), table))
	for _, a := range []attempt.Attempt{{Op: "open", Path: "/t/a"}, {Op: "open", Path: "/t/b"}} {
		require.Equal(t, unix.EPERM, f.try(t, agent, a), "%s", a)
		events, err := f.Events()
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, "broken", events[0].Reason)
	}
	binary.LittleEndian.PutUint64(id, space.ID())
	require.NoError(t, spaces.Put(uint32(0), table))
	require.Zero(t, f.try(t, agent, attempt.Attempt{Op: "open", Path: "/t/a"}))
}

// TestPool: where task storage may fail, an event holds a slot of the pool for as
// long as it lasts, and is denied if others hold all that it may have. Elsewhere
// nobody takes one.
func TestPool(t *testing.T) {
	f := newFixture(t)
	agent, _ := f.agent(t, "policy p\ndeny file.open as other when path == \"/t/b\"\n")
	a, b := attempt.Attempt{Op: "open", Path: "/t/a"}, attempt.Attempt{Op: "open", Path: "/t/b"}
	pool, err := f.Manager.Map(abi.MapPool)
	require.NoError(t, err)
	defer pool.Close()
	slot := make([]byte, abi.PoolSlotSize)
	owner := slot[abi.PoolOwner:][:8]
	owners := func() (held int) {
		for i := range pool.MaxEntries() {
			require.NoError(t, pool.Lookup(i, slot))
			if binary.LittleEndian.Uint64(owner) != 0 {
				held++
			}
		}
		return held
	}
	judged := func() {
		t.Helper()
		require.Zero(t, f.try(t, agent, a))
		require.Equal(t, unix.EACCES, f.try(t, agent, b))
		events, err := f.Events()
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, "rule", events[0].Reason)
	}
	hold := func(i int, by uint64) {
		clear(slot)
		binary.LittleEndian.PutUint64(owner, by)
		require.NoError(t, pool.Put(uint32(agent.Facts.TID+i)%abi.PoolSlots, slot))
	}
	judged()
	require.Zero(t, owners(), "all are free again")
	if pool.MaxEntries() == 1 {
		return
	}
	const another = 1 << 40 // no thread
	for i := range abi.PoolProbes {
		judged()
		require.Equal(t, i, owners())
		hold(i, another)
	}
	require.Equal(t, unix.EACCES, f.try(t, agent, a))
	events, err := f.Events()
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, "unresolved", events[0].Reason)
	require.Equal(t, "other", events[0].Rule.Name)
	require.Zero(t, f.try(t, agent, attempt.Attempt{Op: "mkdir", Path: "/t/c"}), "no rule asks about its path")
	hold(abi.PoolProbes-1, 0)
	judged()
	for i := range abi.PoolProbes {
		hold(i, 0)
	}
}

// TestRetriedErrno: a verdict that would make the kernel ask again for ever is
// none, whoever made the program.
func TestRetriedErrno(t *testing.T) {
	f := newFixture(t)
	victim := kerneltest.Victim(t)
	agent := kerneltest.Agent(t, attempt.Setup{Remember: []int{victim}})
	space, err := f.Space("policy p\ndeny process.signal when signal == SIGUSR2\n")
	require.NoError(t, err)
	require.NoError(t, space.Enter(agent.Facts.PID))
	t.Cleanup(func() { require.NoError(t, errors.Join(agent.Stop(), space.Destroy(), space.Close())) })
	const esrch = 3
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "wrong", Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "task_kill", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -esrch), asm.Return()}})
	require.NoError(t, err)
	defer p.Close()
	slots, err := ebpf.LoadPinnedMap(namespace.DefaultPinDir+"/v1/hooks/task_kill/slots", nil)
	require.NoError(t, err)
	defer slots.Close()
	require.NoError(t, slots.Put(space.Policies[0].Loaded.Slot, p))
	require.Equal(t, unix.EPERM, f.try(t, agent, attempt.Attempt{Op: "signal", Target: victim, Signal: 0}))
	events, err := f.Events()
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, "broken", events[0].Reason)
}
