package namespace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/core"
)

// Member is a thread in a namespace, or armed for it.
type Member struct {
	PID, TID uint32 // in the initial pid namespace
	Armed    bool   // enters at its next exec
}

// Members lists the threads that are in the namespace or armed for it, in the
// kernel's order. Members of its children are not among them.
func (n *Namespace) Members() ([]Member, error) {
	s, err := n.m.lock()
	if err != nil {
		return nil, err
	}
	defer s.unlock()
	if _, err := s.space(n.id); err != nil {
		return nil, err
	}
	tasks, err := s.tasks()
	if err != nil {
		return nil, err
	}
	var members []Member
	for _, t := range tasks {
		if t.ID == n.id {
			members = append(members, Member{PID: t.TGID, TID: t.TID})
		} else if t.PendingID == n.id {
			members = append(members, Member{PID: t.TGID, TID: t.TID, Armed: true})
		}
	}
	return members, nil
}

// populated says which namespaces have members. Tasks are looked at one after
// the other: one that is forked behind the iterator's back by one that then ends
// before it is reached would be missed, hence twice.
func (s *session) populated() (map[uint64]bool, error) {
	ids := map[uint64]bool{}
	for range 2 {
		tasks, err := s.tasks()
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			ids[t.ID], ids[t.PendingID] = true, true
		}
	}
	return ids, nil
}

// attempts bounds what is repeated until it is stable.
const attempts = 50

// tasks lists all tasks that have a record.
func (s *session) tasks() ([]core.Task, error) {
	return s.settle("snp_members", filter{})
}

// settle runs a task program until no task was busy.
func (s *session) settle(name string, f filter) ([]core.Task, error) {
	for range attempts {
		tasks, err := s.run(name, f)
		if err != nil {
			return nil, err
		}
		busy := false
		for _, t := range tasks {
			busy = busy || t.Outcome == core.Busy
		}
		if !busy {
			return tasks, nil
		}
		time.Sleep(time.Millisecond) // lets the task that is in the way go on
	}
	return nil, ErrUnstable
}

// inside says whether a thread of this process is in a namespace. One may be
// armed: another goroutine is in Start.
func (s *session) inside() (bool, error) {
	tasks, err := s.settle("snp_members", filter{pid: uint32(os.Getpid())})
	if err != nil {
		return false, err
	}
	for _, t := range tasks {
		if t.ID != 0 {
			return true, nil
		}
	}
	return false, nil
}

// control writes what Arm and Enter shall do.
func (s *session) control(c core.Control) error {
	if c.Clear == 0 {
		ids, err := s.lineage(c.ID)
		if err != nil {
			return err
		}
		copy(c.From[:], ids)
	}
	if err := s.maps[core.MapControl].Put(uint32(0), c); err != nil {
		return fmt.Errorf("map %s: %w", core.MapControl, err)
	}
	return nil
}

// arm arms one thread for a namespace, or with clear disarms it.
func (n *Namespace) arm(tid int, clear bool) error {
	s, err := n.m.lock()
	if err != nil {
		return err
	}
	defer s.unlock()
	step, c := "arm", core.Control{ID: n.id}
	if clear {
		step, c.Clear = "disarm", 1
	}
	if err := s.fault(step); err != nil {
		return err
	}
	if s.maps == nil {
		return fmt.Errorf("namespace %d: %w", n.id, ErrGone)
	}
	if err := s.control(c); err != nil {
		return err
	}
	tasks, err := s.settle("snp_arm", filter{tid: uint32(tid)})
	if err != nil {
		return err
	}
	if len(tasks) != 1 {
		return fmt.Errorf("thread %d: %w", tid, ErrNoTask)
	}
	want := n.id
	if clear {
		want = 0
	}
	if err := failed(tasks); err != nil {
		return err
	}
	if got := tasks[0].PendingID; got != want {
		return fmt.Errorf("thread %d: armed for namespace %d instead of %d: %w", tid, got, want, ErrBroken)
	}
	return nil
}

// failed is the error of the first task that was not done.
func failed(tasks []core.Task) error {
	for _, t := range tasks {
		switch t.Outcome {
		case core.Refused:
			return fmt.Errorf("thread %d, in namespace %d, armed for %d: %w", t.TID, t.ID, t.PendingID, ErrNotDescendant)
		case core.NoMemory:
			return fmt.Errorf("thread %d: task storage: %w", t.TID, unix.ENOMEM)
		}
	}
	return nil
}

// Enter moves a running process, all its threads, into the namespace at once.
// It must be in none or in an ancestor of it. pid is in the pid namespace of the
// caller.
//
// Children that the process forks meanwhile may stay outside, as those do that it
// forked before; on Linux 6.9 and later so may a thread whose creation the process
// holds up half way (CLONE_PIDFD stores to memory of its choice, which may fault for
// as long as it likes). So Enter is for processes that cooperate; Start is for the
// others. On an error some of the threads may have entered.
func (n *Namespace) Enter(pid int) error {
	s, err := n.m.lock()
	if err != nil {
		return err
	}
	defer s.unlock()
	if pid == os.Getpid() {
		return ErrInside
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("process %d: %w: %w", pid, ErrNoTask, err)
	}
	defer unix.Close(fd)
	if s.maps == nil {
		return fmt.Errorf("namespace %d: %w", n.id, ErrGone)
	}
	if err := s.control(core.Control{ID: n.id}); err != nil {
		return err
	}
	for range attempts {
		tasks, err := s.settle("snp_enter", filter{pid: uint32(pid)})
		if err != nil {
			return err
		}
		if err := failed(tasks); err != nil {
			return err
		}
		stable, err := settled(pid, tasks)
		if err != nil {
			return err
		}
		// The process that was looked at is the one that the caller meant, if it is
		// still there now: its number cannot have been given to another one.
		if err := unix.PidfdSendSignal(fd, 0, nil, 0); err != nil {
			return fmt.Errorf("process %d: %w: %w", pid, ErrNoTask, err)
		}
		if stable {
			return nil
		}
	}
	return fmt.Errorf("process %d: %w", pid, ErrUnstable)
}

// settled says whether no task had to be changed, and none of the process's
// threads is missing from tasks (iterators up to 6.5 stop early when the thread at
// hand ends).
func settled(pid int, tasks []core.Task) (bool, error) {
	for _, t := range tasks {
		if t.Outcome != core.Unchanged {
			return false, nil
		}
	}
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("process %d: %w", pid, ErrNoTask)
	}
	if err != nil {
		return false, err
	}
	return len(entries) == len(tasks), nil
}

// filter selects what an iterator visits: one thread, the threads of one
// process, or all tasks; in the pid namespace of the caller.
type filter struct{ tid, pid uint32 }

// run runs a pinned task program. The library has no way to give an iterator its
// task (kernel 6.1, union bpf_iter_link_info in include/uapi/linux/bpf.h).
func (s *session) run(name string, f filter) ([]core.Task, error) {
	p, err := ebpf.LoadPinnedProgram(s.path(progsDir, name), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: program %s: %w", ErrBroken, name, err)
	}
	defer p.Close()
	info := struct{ tid, pid, pidfd uint32 }{tid: f.tid, pid: f.pid}
	create := struct {
		prog, target, attach, flags uint32
		info                        unsafe.Pointer
		infoLen, _                  uint32
	}{prog: uint32(p.FD()), attach: uint32(ebpf.AttachTraceIter), info: unsafe.Pointer(&info), infoLen: uint32(unsafe.Sizeof(info))}
	const linkCreate, iterCreate = 28, 33 // BPF_LINK_CREATE, BPF_ITER_CREATE
	l, err := bpf(linkCreate, unsafe.Pointer(&create), unsafe.Sizeof(create))
	runtime.KeepAlive(&info)
	runtime.KeepAlive(p)
	if err != nil {
		if err == unix.ESRCH {
			return nil, ErrNoTask
		}
		return nil, fmt.Errorf("iterator %s: %w", name, err)
	}
	defer unix.Close(l)
	iter := struct{ link, flags uint32 }{link: uint32(l)}
	fd, err := bpf(iterCreate, unsafe.Pointer(&iter), unsafe.Sizeof(iter))
	if err != nil {
		return nil, fmt.Errorf("iterator %s: %w", name, err)
	}
	out := os.NewFile(uintptr(fd), name)
	defer out.Close()
	b, err := io.ReadAll(out)
	if err != nil {
		return nil, fmt.Errorf("iterator %s: %w", name, err)
	}
	return core.ReadTasks(b)
}

func bpf(cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
	if errno != 0 {
		return -1, errno
	}
	unix.CloseOnExec(int(fd))
	return int(fd), nil
}
