//go:build kernel

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/runtime/audit"
	"github.com/snappy-policy/snappy/runtime/namespace"
)

//vmtest:build . /usr/bin/snappyc
//vmtest:busybox
//vmtest:timeout 240s

const patience = 20 * time.Second

// folder makes a working folder with the policies of these tests.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nginx.snp": "policy nginx\n\ndefault allow\n\ndeny file.open as secrets when path == \"/etc/shadow\" errno ENOENT because \"no need to know\"\n",
		"tools.snp": "policy tools\n\ndefault allow\ndeny exec when path == \"/usr/bin/snappyc\"\nkill file.open as trap when path == \"/etc/trap\"\n" +
			"audit file.open as watched when path == \"/etc/watched\"\ndeny file.open when path == \"/etc/shadow\"\n",
		"closed.snp": "policy closed\n\ndefault allow\ndefault deny for file.mkdir\n",
		"wrong.snp":  "policy wrong\n\ndefault alow\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	require.NoError(t, os.MkdirAll("/etc", 0o755))
	for _, name := range []string{"/etc/shadow", "/etc/trap", "/etc/watched"} {
		require.NoError(t, os.WriteFile(name, []byte("contents\n"), 0o644))
	}
	return dir
}

type outcome struct {
	code           int
	stdout, stderr string
}

func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/bin/snappyc", args...)
	cmd.Dir = dir
	return cmd
}

// call runs snappyc to its end.
func call(t *testing.T, dir string, args ...string) outcome {
	t.Helper()
	cmd := command(dir, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil {
		require.True(t, errors.As(err, &exit), "%v", err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// nothingLeft: no namespace, no policy, no program stays.
func nothingLeft(t *testing.T) {
	t.Helper()
	_, err := os.Stat(namespace.DefaultPinDir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// matches compares text with a pattern in which PID stands for any process id.
func matches(t *testing.T, pattern, text string) {
	t.Helper()
	require.Regexp(t, "^"+strings.ReplaceAll(regexp.QuoteMeta(pattern), "PID", "[0-9]+")+"$", text)
}

func TestRunCodes(t *testing.T) {
	dir := folder(t)
	for _, c := range []struct {
		name   string
		policy string
		argv   []string
		code   int
		stdout string
		stderr string
	}{
		{"success", "nginx.snp", []string{"echo", "hello"}, 0, "hello\n", ""},
		{"arguments as they are", "nginx.snp", []string{"sh", "-c", `echo "$1" $#; exit 7`, "x", "--policy", "b c"}, 7, "--policy 2\n", ""},
		{"killed", "nginx.snp", []string{"sh", "-c", "kill -9 $$"}, 128 + 9, "", ""},
		{"terminated", "nginx.snp", []string{"sh", "-c", "kill -TERM $$"}, 128 + 15, "", ""},
		{"not there", "nginx.snp", []string{"nosuch"}, 127, "", "snappyc: exec: \"nosuch\": executable file not found in $PATH\n"},
		{"path not there", "nginx.snp", []string{"/no/such"}, 127, "", "snappyc: exec: \"/no/such\": stat /no/such: no such file or directory\n"},
		{"not executable", "nginx.snp", []string{"./nginx.snp"}, 126, "", "snappyc: exec: \"./nginx.snp\": permission denied\n"},
		{"exec denied", "tools.snp", []string{"/usr/bin/snappyc", "version"}, 126, "",
			"snappy: denied exec /usr/bin/snappyc by tools.snp:4 pid PID snappyc\nsnappyc: fork/exec /usr/bin/snappyc: permission denied\n"},
		{"denied", "nginx.snp", []string{"cat", "/etc/shadow"}, 1, "",
			"cat: can't open '/etc/shadow': No such file or directory\nsnappy: denied file.open /etc/shadow by nginx.snp:5 (secrets) pid PID cat\n"},
		{"denied by default", "closed.snp", []string{"mkdir", "/tmp/made"}, 1, "",
			"mkdir: can't create directory '/tmp/made': Permission denied\nsnappy: denied file.mkdir /tmp/made by closed.snp:4 default pid PID mkdir\n"},
		{"killed by a rule", "tools.snp", []string{"cat", "/etc/trap"}, 128 + 9, "", "snappy: killed file.open /etc/trap by tools.snp:5 (trap) pid PID cat\n"},
		{"audited", "tools.snp", []string{"cat", "/etc/watched"}, 0, "contents\n", "snappy: audited file.open /etc/watched by tools.snp:6 (watched) pid PID cat\n"},
		{"policy with errors", "wrong.snp", []string{"touch", "/tmp/ran"}, 125, "",
			"wrong.snp:3:9: error[SNP0101]: expected `allow` or `deny`, found `alow`\n    default alow\n            ^~~~\n" +
				"help: the form is: default allow|deny [for OPERATION, …]\nsnappyc: wrong.snp was not loaded\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := call(t, dir, append([]string{"run", "--policy", c.policy, "--"}, c.argv...)...)
			require.Equal(t, c.code, got.code, "%+v", got)
			require.Equal(t, c.stdout, got.stdout)
			// The command and the reports write at the same time.
			require.ElementsMatch(t, strings.Split(hidePIDs(c.stderr), "\n"), strings.Split(hidePIDs(got.stderr), "\n"))
			nothingLeft(t)
		})
	}
	_, err := os.Stat("/tmp/ran")
	require.ErrorIs(t, err, os.ErrNotExist)
}

var pids = regexp.MustCompile(`pid [0-9]+`)

func hidePIDs(s string) string { return pids.ReplaceAllString(s, "pid PID") }

// TestQuiet: -q prints no events; they can be had afterwards.
func TestQuiet(t *testing.T) {
	dir := folder(t)
	got := call(t, dir, "run", "-q", "-p", "nginx.snp", "cat", "/etc/shadow")
	require.Equal(t, outcome{1, "", "cat: can't open '/etc/shadow': No such file or directory\n"}, got)
}

// TestLayers: the outermost policy that does not allow is the one that is named.
func TestLayers(t *testing.T) {
	dir := folder(t)
	for _, c := range []struct{ first, second, by string }{
		{"nginx.snp", "tools.snp", "nginx.snp:5 (secrets)"},
		{"tools.snp", "nginx.snp", "tools.snp:7"},
	} {
		got := call(t, dir, "run", "--policy", c.first, "--policy", c.second, "--", "sh", "-c", "cat /etc/shadow 2>/dev/null; cat /etc/trap")
		require.Equal(t, 137, got.code, "%+v", got)
		require.Empty(t, got.stdout)
		matches(t, "snappy: denied file.open /etc/shadow by "+c.by+" pid PID cat\nsnappy: killed file.open /etc/trap by tools.snp:5 (trap) pid PID cat\n", got.stderr)
	}
	nothingLeft(t)
}

// TestEvents: what was reported can be read later, as text and as data.
func TestEvents(t *testing.T) {
	dir := folder(t)
	require.NoError(t, os.RemoveAll(namespace.DefaultStateDir))
	require.Equal(t, outcome{}, call(t, dir, "events"))
	require.NoDirExists(t, namespace.DefaultStateDir)

	require.Equal(t, 1, call(t, dir, "run", "--policy", "nginx.snp", "--", "cat", "/etc/shadow").code)
	require.Equal(t, 1, call(t, dir, "run", "--policy", "./nginx.snp", "--", "cat", "/etc/shadow").code)
	got := call(t, dir, "events")
	require.Equal(t, 0, got.code, "%+v", got)
	require.Empty(t, got.stderr)
	require.Regexp(t, `^20[0-9-]+T[0-9:.]+(Z|[+-][0-9:]+) namespace [0-9]+: denied file.open /etc/shadow by nginx.snp:5 \(secrets\) pid [0-9]+ cat
20[0-9-]+T[0-9:.]+(Z|[+-][0-9:]+) namespace [0-9]+: denied file.open /etc/shadow by \./nginx.snp:5 \(secrets\) pid [0-9]+ cat
$`, got.stdout)

	got = call(t, dir, "events", "--format", "json")
	require.Equal(t, 0, got.code, "%+v", got)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	require.Len(t, lines, 2)
	var e audit.Event
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &e))
	require.Equal(t, "denied", e.Verdict)
	require.Equal(t, "file.open", e.Operation)
	require.Equal(t, "ENOENT", e.Errno)
	require.Equal(t, "/etc/shadow", e.Path.Text)
	require.Equal(t, "nginx", e.Policy)
	require.Equal(t, "no need to know", e.Rule.Because)
	require.WithinDuration(t, time.Now(), e.Time, time.Minute)

	one := call(t, dir, "events", "--namespace", fmt.Sprint(e.Namespace))
	require.Equal(t, 1, strings.Count(one.stdout, "\n"), one.stdout)
	require.Empty(t, call(t, dir, "events", "--namespace", "999999").stdout)
}

// TestSurvivor: what outlives the command stays confined, is told, and its events
// are not lost though nobody listens.
func TestSurvivor(t *testing.T) {
	dir := folder(t)
	script := `(while [ ! -e go ]; do sleep 0.1; done; cat /etc/shadow; echo $? >code.new; mv code.new code) >/dev/null 2>&1 &`
	got := call(t, dir, "run", "--policy", "nginx.snp", "--", "sh", "-c", script)
	require.Equal(t, 0, got.code, "%+v", got)
	require.Regexp(t, `^snappy: [0-9]+ threads? stays? in namespace [0-9]+ and confined\n$`, got.stderr)
	require.DirExists(t, namespace.DefaultPinDir)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o644))
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "code")); return err == nil }, patience, 50*time.Millisecond)
	code, err := os.ReadFile(filepath.Join(dir, "code"))
	require.NoError(t, err)
	require.Equal(t, "1\n", string(code))
	events := strings.TrimSpace(call(t, dir, "events").stdout)
	last := events[strings.LastIndex(events, "\n")+1:]
	require.Regexp(t, `: denied file.open /etc/shadow by nginx.snp:5 \(secrets\) pid [0-9]+ cat$`, last)

	// The next manager takes away what is no longer used.
	require.Eventually(t, func() bool {
		require.Equal(t, 0, call(t, dir, "run", "--policy", "closed.snp", "--", "true").code)
		_, err := os.Stat(namespace.DefaultPinDir)
		return errors.Is(err, os.ErrNotExist)
	}, patience, 100*time.Millisecond)
}

// TestNoBPFFS: a host that lacks something is told what, and nothing runs.
func TestNoBPFFS(t *testing.T) {
	dir := folder(t)
	require.NoError(t, unix.Mount("tmpfs", "/sys/fs/bpf", "tmpfs", 0, ""))
	defer func() { require.NoError(t, unix.Unmount("/sys/fs/bpf", 0)) }()
	got := call(t, dir, "run", "--policy", "nginx.snp", "--", "touch", "ran")
	require.Equal(t, 125, got.code, "%+v", got)
	require.Contains(t, got.stderr, "mount -t bpf bpf /sys/fs/bpf")
	require.Contains(t, got.stderr, "'snappyc doctor' tells what this host lacks")
	require.NoFileExists(t, filepath.Join(dir, "ran"))
	got = call(t, dir, "doctor")
	require.Equal(t, 1, got.code, "%+v", got)
	require.Contains(t, got.stdout, "missing  bpffs")
}

// TestNotRoot: only root may run and read events.
func TestNotRoot(t *testing.T) {
	dir := folder(t)
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"run", "--policy", "nginx.snp", "--", "true"}, 125, "run needs root"},
		{[]string{"doctor"}, 1, "privileges"},
		{[]string{"check", "nginx.snp"}, 0, ""},
	} {
		cmd := command(dir, c.args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
		out, err := cmd.CombinedOutput()
		require.Equal(t, c.code, cmd.ProcessState.ExitCode(), "%v: %v: %s", c.args, err, out)
		require.Contains(t, string(out), c.says)
	}
}

// TestSignals: the command gets the signals that run gets.
func TestSignals(t *testing.T) {
	dir := folder(t)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2} {
		t.Run(sig.String(), func(t *testing.T) {
			ready := filepath.Join(dir, "ready")
			_ = os.Remove(ready)
			cmd := command(dir, "run", "--policy", "nginx.snp", "--", "sh", "-c", fmt.Sprintf("trap 'exit 42' %d; touch ready; while :; do sleep 0.1; done", sig))
			require.NoError(t, cmd.Start())
			require.Eventually(t, func() bool { _, err := os.Stat(ready); return err == nil }, patience, 20*time.Millisecond)
			require.NoError(t, cmd.Process.Signal(sig))
			_ = cmd.Wait()
			require.Equal(t, 42, cmd.ProcessState.ExitCode())
		})
	}
	nothingLeft(t)
}

// TestConcurrent: runs at the same time see their own events only, and all of them.
func TestConcurrent(t *testing.T) {
	dir := folder(t)
	const runs, denials = 4, 25
	var wait sync.WaitGroup
	outcomes := make([]string, runs)
	for i := range runs {
		name := fmt.Sprintf("p%d.snp", i)
		text := fmt.Sprintf("policy p%d\n\ndefault allow\ndeny file.open as mine when path == \"/tmp/file%d\"\n", i, i)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		require.NoError(t, os.WriteFile(fmt.Sprintf("/tmp/file%d", i), nil, 0o644))
		wait.Go(func() {
			cmd := command(dir, "run", "--policy", name, "--", "sh", "-c",
				fmt.Sprintf("i=0; while [ $i -lt %d ]; do cat /tmp/file%d 2>/dev/null; i=$((i+1)); done; exit 0", denials, i))
			out, err := cmd.CombinedOutput()
			outcomes[i] = fmt.Sprintf("%s%v", out, err)
		})
	}
	wait.Wait()
	for i, got := range outcomes {
		line := fmt.Sprintf("snappy: denied file.open /tmp/file%d by p%d.snp:4 (mine) pid PID cat\n", i, i)
		require.Equal(t, strings.Repeat(line, denials)+"<nil>", hidePIDs(got))
	}
	nothingLeft(t)
}

// TestFollow: events -f waits for the first core, goes on with the next one, and
// leaves the events to run as well.
func TestFollow(t *testing.T) {
	dir := folder(t)
	require.NoError(t, os.RemoveAll(namespace.DefaultStateDir))
	nothingLeft(t)
	follow := command(dir, "events", "-f")
	out, err := follow.StdoutPipe()
	require.NoError(t, err)
	follow.Stderr = os.Stderr
	require.NoError(t, follow.Start())
	var mu sync.Mutex
	var text bytes.Buffer
	done := make(chan error, 1)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := out.Read(b)
			mu.Lock()
			text.Write(b[:n])
			mu.Unlock()
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				done <- err
				return
			}
		}
	}()
	for i := range 3 {
		got := call(t, dir, "run", "--policy", "nginx.snp", "--", "cat", "/etc/shadow")
		require.Equal(t, 1, got.code, "%+v", got)
		require.Contains(t, got.stderr, "snappy: denied file.open /etc/shadow")
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Count(text.String(), "by nginx.snp:5 (secrets)") == i+1
		}, patience, 50*time.Millisecond)
		nothingLeft(t)
	}
	require.NoError(t, follow.Process.Signal(unix.SIGTERM))
	require.NoError(t, <-done)
	require.NoError(t, follow.Wait())
}

// TestDoctor: the kernels of the rig can enforce.
func TestDoctor(t *testing.T) {
	got := call(t, "/", "doctor")
	require.Equal(t, 0, got.code, "%+v", got)
	require.True(t, strings.HasSuffix(got.stdout, "This kernel can enforce policies.\n"), got.stdout)
	require.Equal(t, outcome{}, call(t, "/", "doctor", "--quiet"))
	got = call(t, "/", "doctor", "--format", "json")
	require.Equal(t, 0, got.code)
	var report struct {
		Kernel   string
		Findings []struct{ Name, Status string }
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &report))
	require.True(t, strings.HasPrefix(report.Kernel, os.Getenv("SNAPPY_KERNEL")+"."), report.Kernel)
	require.Greater(t, len(report.Findings), 20)
}
