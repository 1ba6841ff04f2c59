//go:build kernel

package namespace

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/core"
	"github.com/snappy-policy/snappy/runtime/loader"
)

// TestManagerExit: enforcement goes on when the manager is gone, and another one
// finds everything.
func TestManagerExit(t *testing.T) {
	before := inventory(t)
	target := file(t, "target")
	pin, state := "/sys/fs/bpf/exit", t.TempDir()
	manager := exec.Command("/proc/self/exe")
	manager.Env = []string{agentEnv + "=" + strings.Join([]string{"manager enforce", pin, state, target}, " ")}
	manager.Stderr = os.Stderr
	// Files, not pipes of os/exec: these would end with the manager.
	in, toAgent, err := os.Pipe()
	require.NoError(t, err)
	fromAgent, out, err := os.Pipe()
	require.NoError(t, err)
	manager.Stdin, manager.Stdout = in, out
	require.NoError(t, manager.Run())
	in.Close()
	out.Close()
	answers := bufio.NewScanner(fromAgent)
	ask := func(format string, args ...any) string {
		fmt.Fprintf(toAgent, format+"\n", args...)
		require.True(t, answers.Scan())
		return answers.Text()
	}
	require.Equal(t, eacces, ask("open %s", target))
	require.Equal(t, eacces, ask("fork open %s", target))

	m, err := Open(Options{PinDir: pin, StateDir: state})
	require.NoError(t, err)
	require.NoError(t, m.Collect())
	infos, err := m.Namespaces()
	require.NoError(t, err)
	require.Len(t, infos, 1)
	n, err := m.Namespace(infos[0].ID)
	require.NoError(t, err)
	members, err := n.Members()
	require.NoError(t, err)
	require.NotEmpty(t, members)
	// More can be added to what another process made.
	policies, err := m.Policies()
	require.NoError(t, err)
	require.Len(t, policies, 1)
	second := newChild(t, n.Start)
	require.Equal(t, eacces, second.do("open %s", target))
	second.stop()
	require.Equal(t, eacces, ask("open %s", target))

	pid := int(members[0].PID)
	fd, err := unix.PidfdOpen(pid, 0)
	require.NoError(t, err)
	toAgent.Close()
	require.False(t, answers.Scan())
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000)
	require.NoError(t, err)
	unix.Close(fd)
	reap(pid)
	require.NoError(t, n.Close())
	require.NoError(t, m.Collect())
	requireInventory(t, before)
}

// reap waits for an orphan, if it is ours.
func reap(pid int) { _, _ = unix.Wait4(pid, nil, 0, nil) }

// TestConcurrentManagers: processes that change the state at once do not disturb
// each other, and leave nothing.
func TestConcurrentManagers(t *testing.T) {
	before := inventory(t)
	pin, state := "/sys/fs/bpf/concurrent", t.TempDir()
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			if i%2 == 0 {
				manager := exec.Command("/proc/self/exe")
				manager.Env = []string{agentEnv + "=" + strings.Join([]string{"manager churn", pin, state, "4"}, " ")}
				manager.Stderr = os.Stderr
				errs[i] = manager.Run()
				return
			}
			m, err := Open(Options{PinDir: pin, StateDir: state})
			if err == nil {
				err = churn(m, 4)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	m, err := Open(Options{PinDir: pin, StateDir: state})
	require.NoError(t, err)
	require.NoError(t, m.Collect())
	requireInventory(t, before)
}

// TestFailures: whatever fails, nothing is left of the attempt.
func TestFailures(t *testing.T) {
	target := file(t, "target")
	object := policy("several", programs{
		"file_open": onFile(t, target, unix.EACCES), "path_mkdir": verdict(0), "task_kill": verdict(0)})

	t.Run("open", func(t *testing.T) {
		before := inventory(t)
		for fail := 1; ; fail++ {
			count := 0
			m, err := Open(Options{PinDir: "/sys/fs/bpf/open", StateDir: t.TempDir(), fault: func(string) error {
				if count++; count == fail {
					return errInjected
				}
				return nil
			}})
			if err == nil {
				require.Greater(t, fail, 10, "the faults were met")
				require.NoError(t, m.Collect())
				requireInventory(t, before)
				return
			}
			require.ErrorIs(t, err, errInjected)
			requireInventory(t, before)
		}
	})

	t.Run("load and create", func(t *testing.T) {
		fail, count := 0, 0
		var step string
		m := openWith(t, func(at string) error {
			if count++; count == fail {
				step = at
				return errInjected
			}
			return nil
		})
		empty := inventory(t)
		var steps []string
		for fail = 1; ; fail++ {
			count = 0
			p, err := m.Load(object)
			if err == nil {
				fail = 0
				require.NoError(t, p.Close())
				require.NoError(t, m.Collect())
				break
			}
			require.ErrorIs(t, err, errInjected)
			steps = append(steps, step)
			requireInventory(t, empty)
		}
		require.Subset(t, steps, []string{"pin", "slots", "slot", "hold"})
		p := load(t, m, object)
		loaded := inventory(t)
		steps = nil
		for fail = 1; ; fail++ {
			count = 0
			n, err := m.Create(nil, p)
			if err == nil {
				fail = 0
				agent := newChild(t, n.Start)
				require.Equal(t, eacces, agent.do("open %s", target))
				agent.stop()
				require.NoError(t, n.Destroy())
				break
			}
			require.ErrorIs(t, err, errInjected)
			steps = append(steps, step)
			requireInventory(t, loaded)
			infos, err := m.Namespaces()
			require.NoError(t, err)
			require.Empty(t, infos)
		}
		require.Subset(t, steps, []string{"dispatcher", "hold", "space"})
		requireInventory(t, loaded)
	})

	t.Run("verifier", func(t *testing.T) {
		m := open(t)
		before := inventory(t)
		_, err := m.Load(policy("bad", programs{
			"file_open": verdict(0), "path_mkdir": verdict(0),
			"task_kill": {asm.LoadMem(asm.R0, asm.R1, 0, asm.DWord), asm.LoadMem(asm.R0, asm.R0, 32000, asm.DWord), asm.Return()}}))
		var ve *loader.VerifierError
		require.ErrorAs(t, err, &ve)
		require.Equal(t, "task_kill", ve.Hook)
		requireInventory(t, before)
	})

	t.Run("unknown hook", func(t *testing.T) {
		m := open(t)
		before := inventory(t)
		for _, name := range []string{"no_such_hook", "inode_permission"} {
			_, err := m.Load(policy("unknown", programs{"file_open": verdict(0), name: verdict(0)}))
			var he *loader.HookError
			require.ErrorAs(t, err, &he)
			require.Equal(t, name, he.Need.Hook)
			requireInventory(t, before)
		}
	})

	t.Run("slots", func(t *testing.T) {
		m := open(t)
		first := load(t, m, object)
		for slot := uint32(2); slot < abi.MaxSlots; slot++ {
			p := Policy{Slot: slot, ID: 1000 + uint64(slot)}
			require.NoError(t, os.Mkdir(m.path(policiesDir, p.folder()), 0o700))
		}
		before := inventory(t)
		_, err := m.Load(policy("one more", programs{"capable": verdict(0)}))
		require.ErrorIs(t, err, ErrNoSlot)
		again, err := m.Load(object)
		require.NoError(t, err)
		require.Equal(t, first.Slot, again.Slot)
		require.NoError(t, again.Close())
		requireInventory(t, before)
	})

	t.Run("spaces", func(t *testing.T) {
		m := open(t)
		p := load(t, m, object)
		s, err := m.lock()
		require.NoError(t, err)
		for i := uint32(0); i < abi.MaxSpaces; i++ {
			require.NoError(t, s.write(i, &abi.Space{ID: uint64(i) + abi.MaxSpaces}))
		}
		s.unlock()
		before := inventory(t)
		_, err = m.Create(nil, p)
		require.ErrorIs(t, err, ErrNoSpace)
		requireInventory(t, before)
	})
}

// TestUnfinished: what a manager that was killed left is swept.
func TestUnfinished(t *testing.T) {
	m := open(t)
	p := load(t, m, policy("p", programs{"file_open": verdict(0)}))
	before := inventory(t)
	for _, dir := range []string{filepath.Join(m.pin, "tmp_v1"), m.path(policiesDir, "tmp_x"), m.path(hooksDir, "tmp_file_open")} {
		require.NoError(t, os.Mkdir(dir, 0o700))
		slots, err := ebpf.NewMap(core.Slots())
		require.NoError(t, err)
		require.NoError(t, slots.Pin(filepath.Join(dir, "slots")))
		require.NoError(t, slots.Close())
	}
	n, err := m.Create(nil, p)
	require.NoError(t, err)
	require.NoError(t, n.Destroy())
	requireInventory(t, before)
}

// TestAttach: looking leaves nothing behind.
func TestAttach(t *testing.T) {
	before := inventory(t)
	opts := Options{PinDir: "/sys/fs/bpf/attach", StateDir: t.TempDir()}
	_, err := Attach(opts)
	require.ErrorIs(t, err, ErrNoCore)
	requireInventory(t, before)
	m, err := Open(opts)
	require.NoError(t, err)
	again, err := Attach(opts)
	require.NoError(t, err)
	infos, err := again.Namespaces()
	require.NoError(t, err)
	require.Empty(t, infos)
	require.NoError(t, m.Collect())
	requireInventory(t, before)
	infos, err = again.Namespaces()
	require.NoError(t, err)
	require.Empty(t, infos)
	requireInventory(t, before)
}

// TestIncompatible: maps of another shape are not touched.
func TestIncompatible(t *testing.T) {
	m := open(t)
	good := m.path(mapsDir, abi.MapCounters)
	require.NoError(t, os.Rename(good, good+"_"))
	other, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: abi.Counters + 1})
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, other.Pin(good))
	_, err = Open(Options{PinDir: m.pin, StateDir: m.state})
	require.ErrorIs(t, err, ErrIncompatible)
	require.ErrorIs(t, m.Collect(), ErrIncompatible)
	require.NoError(t, os.Remove(good))
	_, err = m.Policies()
	require.ErrorIs(t, err, ErrBroken)
	require.NoError(t, os.Rename(good+"_", good))

	_, err = Open(Options{PinDir: t.TempDir(), StateDir: m.state})
	require.ErrorIs(t, err, ErrNotBPFFS)
}

// TestInside: a manager in a namespace is told so.
func TestInside(t *testing.T) {
	m := open(t)
	n := create(t, m, nil, load(t, m, policy("p", programs{"path_mkdir": verdict(0)})))
	manager := exec.Command("/proc/self/exe")
	manager.Env = []string{agentEnv + "=" + strings.Join([]string{"manager churn", m.pin, m.state, "1"}, " ")}
	var errs strings.Builder
	manager.Stderr = &errs
	require.NoError(t, n.Start(manager))
	require.Error(t, manager.Wait())
	require.Contains(t, errs.String(), ErrInside.Error())
}

// TestPreemption: on kernels where a lookup in task storage may fail because
// another task was preempted in the middle of one (before 6.2), no event slips
// through. The failure shows only with
//
//	-exec "$PWD/bin/vmexec -kernel 6.1 -append preempt=full -smp 1"
//
// where a dispatcher that trusted the lookup let opens pass within seconds.
func TestPreemption(t *testing.T) {
	m := open(t)
	target := file(t, "target")
	n := create(t, m, nil, load(t, m, policy("deny", programs{"file_open": onFile(t, target, unix.EACCES)})))
	agents := []*child{newChild(t, n.Start), newChild(t, n.Start), newChild(t, n.Start), newChild(t, n.Start)}
	for range 20 {
		for _, a := range agents {
			a.send("repeat 200 open %s", target)
		}
		for _, a := range agents {
			require.True(t, a.out.Scan())
			require.Equal(t, eacces, a.out.Text())
		}
	}
}
