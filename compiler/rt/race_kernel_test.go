//go:build kernel

package rt

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestRenameRace makes directories below one that is renamed all the time
// between two places, by which its own name changes as well, while mounts come
// and go. A path is one of the two true ones, or unresolved, and it gets through
// often enough.
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

func TestMain(m *testing.M) {
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

func renameAbove(t *testing.T, r *results) {
	dir := t.TempDir()
	// Names of equal length tell mixtures from truths.
	one, two := dir+"/aaaaaaaa/1111111111111111", dir+"/bbbbbbbb/2222222222222222"
	below := strings.Repeat("/d", 12)
	require.NoError(t, os.MkdirAll(one+below, 0o755))
	require.NoError(t, os.MkdirAll(dir+"/bbbbbbbb", 0o755))
	at := openAt(t, unix.AT_FDCWD, one+below, unix.O_RDONLY|unix.O_DIRECTORY)
	r.hammer("rename", one, two)
	counts := map[string]int{}
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
		for range 50 {
			require.NoError(t, unix.Mkdirat(at, "n", 0o755))
			fd, err := unix.Openat(at, "n", unix.O_RDONLY, 0)
			require.NoError(t, err)
			unix.Close(fd)
			require.NoError(t, unix.Unlinkat(at, "n", unix.AT_REMOVEDIR))
		}
		for _, res := range r.all() {
			for i := range reported(r.hooks[res.hook]) {
				counts[r.hooks[res.hook].Name+strconv.Itoa(i)+" "+res.show(i)]++
			}
		}
	}
	for k, n := range counts {
		t.Logf("%6d %s", n, k)
		_, path, _ := strings.Cut(k, " ")
		require.Contains(t, []string{strconv.Quote(one + below + "/n"), strconv.Quote(two + below + "/n"), "<unresolved>"}, path)
	}
	for _, k := range []string{"file_open0 ", "file_open1 ", "path_mkdir0 ", "path_rmdir0 "} {
		require.Positive(t, counts[k+strconv.Quote(one+below+"/n")], k)
		require.Positive(t, counts[k+strconv.Quote(two+below+"/n")], k)
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
