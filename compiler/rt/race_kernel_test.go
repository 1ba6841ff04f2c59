//go:build kernel

package rt

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestRenameRace makes directories below some that are renamed all the time, or
// while others are renamed and mounts come and go. A path is a true one or
// unresolved, and gets through often enough.
func TestRenameRace(t *testing.T) {
	for _, way := range []string{"by rename_lock", "by d_seq"} {
		t.Run(way, func(t *testing.T) {
			cfg := kernelConfig(t)
			if way == "by d_seq" {
				cfg.rename = 0
			}
			r := start(t, cfg, walkedOpen(t), textDriver(t, "path_mkdir"), textDriver(t, "path_rmdir"))
			t.Run("above", func(t *testing.T) { renameAbove(t, r.with(t)) })
			t.Run("elsewhere", func(t *testing.T) { renameElsewhere(t, r.with(t)) })
		})
	}
}

const hammerEnv = "RT_TEST_HAMMER"

// quiet is the setting under which the Go runtime does not send its own threads
// SIGURG, at any time, which the drivers of task_kill would see.
const quiet = "asyncpreemptoff=1"

func TestMain(m *testing.M) {
	if os.Getenv("GODEBUG") != quiet {
		err := os.Setenv("GODEBUG", quiet)
		if err == nil {
			err = unix.Exec("/proc/self/exe", os.Args, os.Environ())
		}
		fmt.Fprintln(os.Stderr, "exec with GODEBUG="+quiet+":", err)
		os.Exit(1)
	}
	if what := os.Getenv(hammerEnv); what != "" {
		pound(what, os.Args[1:])
	}
	os.Exit(m.Run())
}

// hammer disturbs in a child process until the test's end. What the child does
// to get going is seen by the drivers; what it does afterwards is not.
func (r *results) hammer(what string, args ...string) {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), hammerEnv+"="+what)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(r.t, err)
	require.NoError(r.t, cmd.Start())
	r.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	_, err = out.Read(make([]byte, 1))
	require.NoError(r.t, err)
	r.all()
}

func pound(what string, args []string) {
	var err error
	for i := 0; err == nil; i++ {
		switch what {
		case "rename":
			err = unix.Rename(args[i%2], args[1-i%2])
		case "turn":
			if err = unix.Rename(lower(args[0], i, i), lower(args[0], i, i+1)); err == nil {
				err = unix.Rename(upper(args[0], i), upper(args[0], i+1))
			}
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		case "mount":
			if err = unix.Mount("t", args[0], "tmpfs", 0, ""); err == nil {
				err = unix.Unmount(args[0], 0)
			}
		}
		if i == 0 {
			os.Stdout.WriteString("x")
		}
	}
	panic(err)
}

const (
	middle = 60 // directories between the two that are renamed
	turns  = 50 // names that each of them has in turn
)

func upper(dir string, i int) string { return fmt.Sprintf("%s/u%02d", dir, i%turns) }

func lower(dir string, i, j int) string {
	return fmt.Sprintf("%s%s/l%02d", upper(dir, i), strings.Repeat("/d", middle), j%turns)
}

// A high directory is at turn i and a low one at i or i+1, always. A walk that
// mixes names of different times reads the low one first and sees it behind.
func renameAbove(t *testing.T, r *results) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(lower(dir, 0, 0), 0o755))
	at := openAt(t, unix.AT_FDCWD, lower(dir, 0, 0), unix.O_RDONLY|unix.O_DIRECTORY)
	valid := map[string]bool{"<unresolved>": true}
	for i := range turns {
		valid[strconv.Quote(lower(dir, i, i)+"/n")] = true
		valid[strconv.Quote(lower(dir, i, i+1)+"/n")] = true
	}
	r.hammer("turn", dir)
	counts := map[string]int{}
	wrong := 0
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		for range 20 {
			require.NoError(t, unix.Mkdirat(at, "n", 0o755))
			fd, err := unix.Openat(at, "n", unix.O_RDONLY, 0)
			require.NoError(t, err)
			unix.Close(fd)
			require.NoError(t, unix.Unlinkat(at, "n", unix.AT_REMOVEDIR))
		}
		for _, res := range r.all() {
			for i := range reported(r.hooks[res.hook]) {
				what := r.hooks[res.hook].Name + strconv.Itoa(i)
				if !valid[res.show(i)] {
					if wrong++; wrong <= 3 {
						t.Logf("%s %s", what, res.show(i))
					}
				}
				if res.state[i] == "unresolved" {
					what += " unresolved"
				}
				counts[what]++
			}
		}
	}
	t.Log(counts, "wrong", wrong)
	require.Zero(t, wrong)
	for _, what := range []string{"file_open0", "file_open1", "path_mkdir0", "path_rmdir0"} {
		require.Greater(t, counts[what], 100, what)
	}
}

// Renames elsewhere on the machine do not make paths unresolved; nor do mounts,
// as often as they can come.
func renameElsewhere(t *testing.T, r *results) {
	dir := t.TempDir()
	where := dir + strings.Repeat("/d", 12)
	require.NoError(t, os.MkdirAll(where, 0o755))
	require.NoError(t, os.MkdirAll(dir+"/mnt", 0o755))
	require.NoError(t, os.MkdirAll(dir+"/x", 0o755))
	r.hammer("rename", dir+"/x", dir+"/y")
	t.Cleanup(func() { unix.Unmount(dir+"/mnt", unix.MNT_DETACH) })
	r.hammer("mount", dir+"/mnt")
	var resolved, unresolved int
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
		for range 50 {
			require.NoError(t, unix.Mkdir(where+"/n", 0o755))
			require.NoError(t, unix.Rmdir(where+"/n"))
		}
		for _, res := range r.all() {
			if res.show(0) == "<unresolved>" {
				unresolved++
				continue
			}
			require.Equal(t, strconv.Quote(where+"/n"), res.show(0))
			resolved++
		}
	}
	t.Logf("%d resolved, %d unresolved", resolved, unresolved)
	require.Greater(t, resolved, 200*unresolved)
}
