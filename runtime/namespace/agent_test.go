//go:build kernel

package namespace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The test binary is also the program that runs in namespaces: an agent that
// obeys commands on its standard input, one per line, and answers each with a line.
const agentEnv = "SNAPPY_TEST_AGENT"

// The agent acts on its first thread, the only one that has a pidfd on all
// kernels. In the manager no test runs on it: it cannot end.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	switch mode := os.Getenv(agentEnv); {
	case mode == "":
		os.Exit(m.Run())
	case mode == "agent":
		agent(os.Stdin, os.Stdout)
	case mode == "became":
		fmt.Println("ok")
		agent(os.Stdin, os.Stdout)
	case strings.HasPrefix(mode, "once "):
		fmt.Println(obey(strings.Fields(mode)[1:]))
	case strings.HasPrefix(mode, "manager "):
		manage(strings.Fields(mode)[1:])
	default:
		fmt.Println("unknown mode", mode)
		os.Exit(1)
	}
}

func agent(in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		fmt.Fprintln(out, obey(strings.Fields(lines.Text())))
	}
}

// obey carries out a command and answers "ok" or the error number.
func obey(args []string) string {
	switch args[0] {
	case "open": // a file
		f, err := os.Open(args[1])
		if err == nil {
			f.Close()
		}
		return answer(err)
	case "repeat": // a command, that often; the different answers
		n, _ := strconv.Atoi(args[1])
		var answers []string
		for range n {
			if a := obey(args[2:]); !slices.Contains(answers, a) {
				answers = append(answers, a)
			}
		}
		return strings.Join(answers, ",")
	case "mkdir":
		return answer(os.Mkdir(args[1], 0o700))
	case "threads": // open the file in that many new threads; the answers, joined
		n, _ := strconv.Atoi(args[1])
		answers := make([]string, n)
		var wg, all sync.WaitGroup
		all.Add(n)
		for i := range n {
			wg.Go(func() {
				runtime.LockOSThread() // never unlocked: each is a thread of its own
				all.Done()
				all.Wait()
				answers[i] = obey([]string{"open", args[2]})
			})
		}
		wg.Wait()
		return strings.Join(answers, ",")
	case "fork": // run a command in a child process
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{agentEnv + "=once " + strings.Join(args[1:], " ")}
		out, err := cmd.Output()
		if err != nil {
			return answer(err)
		}
		return strings.TrimSpace(string(out))
	case "run": // execute a program
		cmd := exec.Command(args[1])
		cmd.Env = []string{agentEnv + "=once nothing"}
		return answer(cmd.Run())
	case "become": // execute itself again in this process, and go on
		return answer(syscall.Exec("/proc/self/exe", []string{"agent"}, []string{agentEnv + "=became"}))
	case "nothing":
		return "ok"
	}
	if command := commands[args[0]]; command != nil {
		return command(args)
	}
	return "what?"
}

// commands are further ones.
var commands = map[string]func([]string) string{}

func answer(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return strconv.Itoa(int(errno))
	}
	return strings.ReplaceAll(err.Error(), " ", "_")
}

const (
	eperm  = "1"
	eacces = "13"
)

// child is an agent that runs.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// newChild prepares an agent and starts it with start.
func newChild(t *testing.T, start func(*exec.Cmd) error) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command("/proc/self/exe")}
	c.cmd.Env = []string{agentEnv + "=agent"}
	c.cmd.Stderr = os.Stderr
	var err error
	c.in, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.out = bufio.NewScanner(out)
	require.NoError(t, start(c.cmd))
	t.Cleanup(c.stop)
	return c
}

// stop ends the agent and waits until it is gone.
func (c *child) stop() {
	if c.cmd.ProcessState == nil {
		c.in.Close()
		_ = c.cmd.Wait()
	}
}

func (c *child) do(format string, args ...any) string {
	c.t.Helper()
	c.send(format, args...)
	require.True(c.t, c.out.Scan(), "the agent is gone")
	return c.out.Text()
}

func (c *child) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.in, format+"\n", args...)
	require.NoError(c.t, err)
}

// manage is a manager in a process of its own:
//
//	enforce PINDIR STATEDIR FILE   deny FILE to an agent that outlives this process
//	churn PINDIR STATEDIR N        create and destroy, N times
func manage(args []string) {
	err := func() error {
		m, err := Open(Options{PinDir: args[1], StateDir: args[2]})
		if err != nil {
			return err
		}
		switch args[0] {
		case "enforce":
			deny, err := fileProgram(args[3], syscall.EACCES)
			if err != nil {
				return err
			}
			p, err := m.Load(policy("enforce", programs{"file_open": deny}))
			if err != nil {
				return err
			}
			n, err := m.Create(nil, p)
			if err != nil {
				return err
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{agentEnv + "=agent"}
			cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
			return n.Start(cmd) // and leave it alone
		case "churn":
			times, err := strconv.Atoi(args[3])
			if err != nil {
				return err
			}
			return churn(m, times)
		}
		return errors.New("unknown command")
	}()
	if err != nil {
		fmt.Fprintf(os.Stderr, "manager: %+v\n", err)
		os.Exit(1)
	}
}

// churn makes, uses and frees namespaces of one shared and one own policy.
func churn(m *Manager, times int) error {
	for i := range times {
		err := func() error {
			shared, err := m.Load(policy("shared", programs{"file_open": verdict(0)}))
			if err != nil {
				return fmt.Errorf("load: %w", err)
			}
			defer shared.Close()
			own, err := m.Load(policy(fmt.Sprint("own", os.Getpid(), i), programs{"path_mkdir": verdict(syscall.EROFS)}))
			if err != nil {
				return fmt.Errorf("load: %w", err)
			}
			defer own.Close()
			n, err := m.Create(nil, shared, own)
			if err != nil {
				return fmt.Errorf("create: %w", err)
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{agentEnv + "=once mkdir /tmp/never"}
			out, err := start(n, cmd)
			if err != nil {
				return fmt.Errorf("start: %w", err)
			}
			if out != "30" {
				return fmt.Errorf("verdict %q", out)
			}
			if i%2 == 0 {
				err = n.Destroy()
			} else {
				err = n.Close()
			}
			if err != nil {
				return fmt.Errorf("end: %w", err)
			}
			return m.Collect()
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// start runs a command in a namespace and returns its output.
func start(n *Namespace, cmd *exec.Cmd) (string, error) {
	var out strings.Builder
	cmd.Stdout = &out
	if err := n.Start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return strings.TrimSpace(out.String()), err
}
