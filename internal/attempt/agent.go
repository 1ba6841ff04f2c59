package attempt

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/lang/eval"
)

// Setup is what an Agent makes of itself before it answers.
type Setup struct {
	Comm     string
	UID      int    // real user id; the others stay 0
	GID      int    // real group id
	EGID     int    // effective group id; group 0 stays among the others
	Drop     uint64 // capabilities to leave out of the effective set
	Remember []int  // processes that it will act on
	Folders  bool   // open DirDeep, DirDead, DirDetached and DirElsewhere
	Thread   bool   // act on another thread than the first
}

// Facts are what a policy can ask about an Agent.
type Facts struct {
	PID, TID, PPID       int
	UID, EUID, GID, EGID int
	Groups               []int // effective and supplementary
	Comm                 string
	Caps                 uint64
}

// Subject is the caller of an event: the agent, or a child of it that is about
// to execute a program.
func (f Facts) Subject(child int) map[string]eval.Value {
	pid, tid, ppid := f.PID, f.TID, f.PPID
	if child != 0 {
		pid, tid, ppid = child, child, f.PID
	}
	s := map[string]eval.Value{"comm": eval.Text(f.Comm), "caps": eval.Int(int64(f.Caps))}
	for name, v := range map[string]int{"uid": f.UID, "euid": f.EUID, "gid": f.GID, "egid": f.EGID, "pid": pid, "tid": tid, "tgid": pid, "ppid": ppid} {
		s[name] = eval.Int(int64(v))
	}
	return s
}

// environment names what the test binary is to be: an agent or a victim.
const environment = "SNAPPY_TEST_ATTEMPT"

// An agent acts on one thread alone: the first, unless it is told otherwise.
func init() {
	if os.Getenv(environment) != "" {
		runtime.LockOSThread()
	}
}

// Main is for TestMain of packages that start agents.
func Main(m *testing.M) {
	mode, setup, _ := strings.Cut(os.Getenv(environment), " ")
	var err error
	switch mode {
	case "":
		os.Exit(m.Run())
	case "agent":
		err = serve(setup)
	case "victim":
		err = victim()
	default:
		err = errors.New("unknown mode " + mode)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", mode, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// victim is a process that nothing but SIGKILL ends.
func victim() error {
	signal.Ignore(unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGHUP, unix.SIGINT)
	if err := setComm("victim"); err != nil {
		return err
	}
	if err := raw(unix.SYS_SETRESUID, foreignUID, 0, 0); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin) // until the test ends
	return err
}

// StartVictim starts a process for attempts to act on: its comm is "victim",
// its real user id 33. It ends with its standard input.
func StartVictim() (pid int, stop func(), err error) {
	cmd, in, out, err := self("victim")
	if err != nil {
		return 0, nil, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return 0, nil, fmt.Errorf("victim: %w", err)
	}
	return cmd.Process.Pid, func() { in.Close(); _ = cmd.Wait() }, nil
}

// self starts the test binary once more. The runtime is kept from what would be
// mediated: signals among its threads, reading of the cgroup's limits.
func self(mode string) (cmd *exec.Cmd, in, out *os.File, err error) {
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	cmd = exec.Command("/proc/self/exe")
	cmd.Env = []string{environment + "=" + mode, "GODEBUG=asyncpreemptoff=1,updatemaxprocs=0,containermaxprocs=0", "GOMAXPROCS=1", "GOGC=off"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = childIn, childOut, os.Stderr
	err = cmd.Start()
	childIn.Close()
	childOut.Close()
	return cmd, in, out, err
}

func raw(trap uintptr, a, b, c uintptr) error {
	if _, _, e := unix.RawSyscall(trap, a, b, c); e != 0 {
		return e
	}
	return nil
}

func setComm(name string) error {
	b, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(b)), 0, 0, 0)
}

// become applies a setup to the calling thread, and to no other.
func become(s Setup) error {
	groups := []uint32{0}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	err := errors.Join(
		setComm(s.Comm),
		raw(unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups[0])), 0),
		raw(unix.SYS_SETRESGID, uintptr(s.GID), uintptr(s.EGID), 0),
		raw(unix.SYS_SETRESUID, uintptr(s.UID), 0, 0),
		unix.Capget(&header, &caps[0]))
	if err != nil {
		return err
	}
	caps[0].Effective &^= uint32(s.Drop)
	caps[1].Effective &^= uint32(s.Drop >> 32)
	unix.Umask(0)
	return unix.Capset(&header, &caps[0])
}

func learn(s Setup) (Facts, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return Facts{}, err
	}
	return Facts{
		PID: unix.Getpid(), TID: unix.Gettid(), PPID: unix.Getppid(),
		UID: unix.Getuid(), EUID: unix.Geteuid(), GID: unix.Getgid(), EGID: unix.Getegid(), Groups: []int{unix.Getegid(), 0},
		Comm: s.Comm, Caps: uint64(caps[0].Effective) | uint64(caps[1].Effective)<<32,
	}, nil
}

// serve is the life of an agent: it tells its facts, then answers each attempt
// with its outcome.
func serve(setup string) error {
	var s Setup
	if err := json.Unmarshal([]byte(setup), &s); err != nil {
		return err
	}
	d := &doer{comms: map[int]string{}, uids: map[int]int{}}
	for _, pid := range s.Remember {
		if err := d.remember(pid); err != nil {
			return err
		}
	}
	var err error
	if s.Folders {
		if d.folders, err = folders(); err != nil {
			return err
		}
	}
	if !s.Thread {
		return d.answer(s)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- d.answer(s)
	}()
	return <-done
}

// answer makes the calling thread what the setup says, and serves on it.
func (d *doer) answer(s Setup) error {
	if err := errors.Join(unix.Chdir("/"), become(s)); err != nil {
		return err
	}
	var err error
	if d.facts, err = learn(s); err != nil {
		return err
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	if err := out.Encode(d.facts); err != nil {
		return err
	}
	for {
		var a Attempt
		if err := in.Decode(&a); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := out.Encode(d.do(a)); err != nil {
			return err
		}
	}
}

// Agent is a process that does attempts.
type Agent struct {
	Facts
	cmd     *exec.Cmd
	in, out *os.File
	encode  *json.Encoder
	decode  *json.Decoder
}

// answerWithin bounds the time for an attempt.
const answerWithin = 30 * time.Second

// Start starts an agent, confined by nothing.
func Start(s Setup) (*Agent, error) {
	if s.Comm == "" {
		s.Comm = "prober"
	}
	setup, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd, in, out, err := self("agent " + string(setup))
	if err != nil {
		return nil, err
	}
	a := &Agent{cmd: cmd, in: in, out: out, encode: json.NewEncoder(in), decode: json.NewDecoder(out)}
	if err := a.receive(&a.Facts); err != nil {
		return nil, errors.Join(fmt.Errorf("agent: %w", err), a.Stop())
	}
	return a, nil
}

func (a *Agent) receive(v any) error {
	if err := a.out.SetReadDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	return a.decode.Decode(v)
}

// Do has the agent do an attempt. The error wraps io.EOF or io.ErrUnexpectedEOF
// if it died of it.
func (a *Agent) Do(what Attempt) (Outcome, error) {
	var o Outcome
	if err := a.encode.Encode(what); err != nil {
		return o, err
	}
	if err := a.receive(&o); err != nil {
		return o, fmt.Errorf("attempt %s: %w", what, err)
	}
	if o.Failed != "" {
		return o, fmt.Errorf("attempt %s: %s", what, o.Failed)
	}
	return o, nil
}

// Stop ends the agent. It is no error that it was dead already.
func (a *Agent) Stop() error {
	a.in.Close()
	_, err := a.Wait()
	return err
}

// Wait waits for the agent's end and tells how it ended.
func (a *Agent) Wait() (unix.WaitStatus, error) {
	timer := time.AfterFunc(answerWithin, func() { _ = a.cmd.Process.Kill() })
	defer timer.Stop()
	err := a.cmd.Wait()
	a.in.Close()
	a.out.Close()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	status, ok := a.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return 0, errors.New("no wait status")
	}
	return unix.WaitStatus(status), nil
}
