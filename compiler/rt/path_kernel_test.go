//go:build kernel

package rt

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// walkedOpen is a driver for file_open that also builds the path by the walk,
// as if it were the field to.
func walkedOpen(t *testing.T) *driver {
	d := textDriver(t, "file_open")
	f := hook.Field{Name: "to", Read: hook.FilePath{Base: hook.Base{Arg: 0}}}
	fns, err := pathBy(d.hook, f, false)
	require.NoError(t, err)
	d.hook.Fields = append(d.hook.Fields, f)
	d.funcs = append(d.funcs, fns...)
	d.calls = append(d.calls, call{pathFunc(d.hook, f), true})
	return d
}

// pathDrivers are drivers for all hooks with paths.
func pathDrivers(t *testing.T) []*driver {
	out := []*driver{walkedOpen(t)}
	for _, h := range hook.Hooks() {
		if len(reported(h)) > 0 && h.Name != "file_open" {
			out = append(out, textDriver(t, h.Name))
		}
	}
	return out
}

// TestPaths runs the tests of paths with the two ways in which the walk checks
// names. Programs are loaded once for each way, which is what takes time.
func TestPaths(t *testing.T) {
	for _, way := range []string{"by rename_lock", "by d_seq"} {
		t.Run(way, func(t *testing.T) {
			cfg := kernelConfig(t)
			if way == "by d_seq" {
				cfg.rename = 0
			}
			r := start(t, cfg, pathDrivers(t)...)
			for _, c := range []struct {
				name string
				test func(*testing.T, *results)
			}{{"names", testNames}, {"roots", testRoots}, {"mounts", testMounts}, {"overlay", testOverlay}, {"unnamed", testUnnamed}, {"long", testLongPaths}, {"same files", testSameFiles}, {"exec", testExecPath}, {"threads", testThreads}} {
				t.Run(c.name, func(t *testing.T) { c.test(t, r.with(t)) })
			}
		})
	}
}

// expect checks the paths of the only event of a hook during f.
func (r *results) expect(hookName, path, to string, f func()) {
	r.t.Helper()
	res := r.one(hookName, f)
	require.Equal(r.t, [2]string{strconv.Quote(path), strconv.Quote(to)}, [2]string{res.show(0), res.show(1)}, hookName)
	require.Zero(r.t, res.values[0])
}

// expectOpen checks an open, by d_path and by the walk.
func (r *results) expectOpen(path string, f func()) {
	r.t.Helper()
	r.expect("file_open", path, path, f)
}

// expectUnresolved wants both paths of the only event to be unresolved, or the
// only one.
func (r *results) expectUnresolved(hookName string, f func()) {
	r.t.Helper()
	res := r.one(hookName, f)
	for i, f := range reported(r.hooks[res.hook]) {
		require.Equal(r.t, "<unresolved>", res.show(pathIndex(f.Name)), "%s %s", hookName, f.Name)
		require.EqualValues(r.t, 1, res.values[i])
	}
}

// truncateHook is where ftruncate arrives.
func (r *results) truncateHook() string {
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		r.t.Fatal(err)
	}
	if kernelHas(r.t, "bpf_lsm_file_truncate") {
		return "file_truncate"
	}
	return "path_truncate"
}

func openAt(t *testing.T, dir int, name string, flags int) int {
	t.Helper()
	fd, err := unix.Openat(dir, name, flags, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// onThread runs f on an operating system thread of its own, which is thrown away.
func onThread(f func()) {
	done := make(chan any)
	go func() {
		runtime.LockOSThread()
		defer func() { done <- recover() }()
		f()
	}()
	if p := <-done; p != nil {
		panic(p)
	}
}

func testNames(t *testing.T, r *results) {
	for _, name := range []string{"plain", "with space", "new\nline", "\xff\xfe\x80", "x (deleted)", " (deleted)", "#123", "é", strings.Repeat("n", 255)} {
		dir := t.TempDir()
		f, g := dir+"/"+name, dir+"/g"
		r.expect("path_mknod", f, "", func() { require.NoError(t, os.WriteFile(f, nil, 0o600)) })
		fd := -1
		r.expectOpen(f, func() { fd = openAt(t, unix.AT_FDCWD, f, unix.O_RDWR) })
		r.expect("path_chmod", f, "", func() { require.NoError(t, unix.Fchmod(fd, 0o640)) })
		r.expect("path_chown", f, "", func() { require.NoError(t, os.Chown(f, 1, 2)) })
		r.expect("path_truncate", f, "", func() { require.NoError(t, os.Truncate(f, 5)) })
		r.expect(r.truncateHook(), f, "", func() { require.NoError(t, unix.Ftruncate(fd, 7)) })
		r.expect("path_link", f, g, func() { require.NoError(t, os.Link(f, g)) })
		r.expectOpen(g, func() { openAt(t, unix.AT_FDCWD, g, unix.O_RDONLY) })
		r.expect("path_unlink", f, "", func() { require.NoError(t, os.Remove(f)) })
		// The file is unlinked under this name, and still has the other.
		r.expectOpen(f, func() { openAt(t, unix.AT_FDCWD, procFD(fd), unix.O_RDONLY) })
		r.expect("path_chmod", f, "", func() { require.NoError(t, unix.Fchmod(fd, 0o640)) })
		r.expect(r.truncateHook(), f, "", func() { require.NoError(t, unix.Ftruncate(fd, 9)) })
		r.expect("path_mkdir", f, "", func() { require.NoError(t, os.Mkdir(f, 0o700)) })
		r.expectOpen(f, func() { openAt(t, unix.AT_FDCWD, f, unix.O_DIRECTORY) })
		r.expect("path_rename", g, f+"/in", func() { require.NoError(t, os.Rename(g, f+"/in")) })
		require.NoError(t, os.Mkdir(dir+"/other", 0o700))
		r.expect("path_rename", f+"/in", dir+"/other", func() {
			require.NoError(t, unix.Renameat2(unix.AT_FDCWD, f+"/in", unix.AT_FDCWD, dir+"/other", unix.RENAME_EXCHANGE))
		})
		require.NoError(t, os.Remove(f+"/in"))
		r.expect("path_rmdir", f, "", func() { require.NoError(t, unix.Rmdir(f)) })
		r.expect("path_symlink", f, name, func() { require.NoError(t, os.Symlink(name, f)) })
		require.NoError(t, os.Remove(f))
		r.expect("path_mknod", f, "", func() { require.NoError(t, unix.Mknod(f, unix.S_IFIFO, 0)) })
		r.expectOpen(f, func() { openAt(t, unix.AT_FDCWD, f, unix.O_RDONLY|unix.O_NONBLOCK) })
		require.NoError(t, os.Remove(f))
	}
}

func testRoots(t *testing.T, r *results) {
	r.expectOpen("/", func() { openAt(t, unix.AT_FDCWD, "/", unix.O_RDONLY) })
	r.expect("path_chmod", "/", "", func() { require.NoError(t, os.Chmod("/", 0o755)) })
	r.expect("path_mkdir", "/top", "", func() { require.NoError(t, os.Mkdir("/top", 0o755)) })
	r.expectOpen("/top", func() { openAt(t, unix.AT_FDCWD, "/top", unix.O_RDONLY) })
	r.expect("path_rmdir", "/top", "", func() { require.NoError(t, unix.Rmdir("/top")) })
	r.expectOpen("/proc", func() { openAt(t, unix.AT_FDCWD, "/proc", unix.O_RDONLY) })
	r.expectOpen("/proc/sys/kernel/osrelease", func() { openAt(t, unix.AT_FDCWD, "/proc/sys/kernel/osrelease", unix.O_RDONLY) })

	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(dir+"/jail/in", 0o755))
	require.NoError(t, os.MkdirAll(dir+"/out", 0o755))
	out := openAt(t, unix.AT_FDCWD, dir+"/out", unix.O_RDONLY|unix.O_DIRECTORY)
	onThread(func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS))
		require.NoError(t, unix.Chroot(dir+"/jail"))
		require.NoError(t, unix.Chdir("/"))
		r.expect("path_mkdir", "/in/d", "", func() { require.NoError(t, unix.Mkdir("/in/d", 0o755)) })
		r.expectOpen("/in/d", func() { openAt(t, unix.AT_FDCWD, "/in/d", unix.O_RDONLY) })
		r.expectOpen("/", func() { openAt(t, unix.AT_FDCWD, "/..", unix.O_RDONLY) })
		r.expect("path_chmod", "/", "", func() { require.NoError(t, unix.Chmod("/", 0o755)) })
		// What lies outside has its name in the mount namespace.
		r.expect("path_mkdir", dir+"/out/d", "", func() { require.NoError(t, unix.Mkdirat(out, "d", 0o755)) })
		r.expectOpen(dir+"/out/d", func() { openAt(t, out, "d", unix.O_RDONLY) })
		r.expectOpen(dir, func() { openAt(t, out, "..", unix.O_RDONLY) })
		// The jail itself, seen from outside, is an entry with a name.
		r.expect("path_rename", dir+"/jail", dir+"/gaol", func() {
			require.NoError(t, unix.Renameat(out, "../jail", out, "../gaol"))
		})
		r.expect("path_mkdir", "/e", "", func() { require.NoError(t, unix.Mkdir("/e", 0o755)) })
	})
}

func testMounts(t *testing.T, r *results) {
	dir := t.TempDir()
	for _, d := range []string{"/src/sub/x", "/src/other", "/bind", "/over", "/tree", "/esc"} {
		require.NoError(t, os.MkdirAll(dir+d, 0o755))
	}
	require.NoError(t, os.WriteFile(dir+"/src/f", nil, 0o600))
	require.NoError(t, os.WriteFile(dir+"/g", nil, 0o600))
	mount := func(src, dst, typ string, flags uintptr) {
		require.NoError(t, unix.Mount(src, dst, typ, flags, ""))
		t.Cleanup(func() { unix.Unmount(dst, unix.MNT_DETACH) })
	}
	mount(dir+"/src", dir+"/bind", "", unix.MS_BIND)
	r.expectOpen(dir+"/bind/f", func() { openAt(t, unix.AT_FDCWD, dir+"/bind/f", unix.O_RDWR) })
	r.expectOpen(dir+"/src/f", func() { openAt(t, unix.AT_FDCWD, dir+"/src/f", unix.O_RDWR) })
	r.expectOpen(dir+"/bind", func() { openAt(t, unix.AT_FDCWD, dir+"/bind", unix.O_RDONLY) })
	r.expect("path_mkdir", dir+"/bind/sub/x/n", "", func() { require.NoError(t, os.Mkdir(dir+"/bind/sub/x/n", 0o755)) })
	r.expect("path_rename", dir+"/bind/sub/x/n", dir+"/bind/other/n", func() {
		require.NoError(t, os.Rename(dir+"/bind/sub/x/n", dir+"/bind/other/n"))
	})
	r.expect("path_rmdir", dir+"/src/other/n", "", func() { require.NoError(t, os.Remove(dir+"/src/other/n")) })
	r.expect("path_link", dir+"/bind/f", dir+"/bind/other/f", func() { require.NoError(t, os.Link(dir+"/bind/f", dir+"/bind/other/f")) })

	mount(dir+"/src/f", dir+"/g", "", unix.MS_BIND) // a file
	r.expectOpen(dir+"/g", func() { openAt(t, unix.AT_FDCWD, dir+"/g", unix.O_RDWR) })
	r.expect("path_chmod", dir+"/g", "", func() { require.NoError(t, os.Chmod(dir+"/g", 0o640)) })

	for range 3 { // one over the other
		mount("t", dir+"/over", "tmpfs", 0)
	}
	require.NoError(t, os.Mkdir(dir+"/over/d", 0o755))
	mount(dir+"/bind", dir+"/over/d", "", unix.MS_BIND|unix.MS_REC)
	r.expect("path_mkdir", dir+"/over/d/sub/m", "", func() { require.NoError(t, os.Mkdir(dir+"/over/d/sub/m", 0o755)) })
	r.expectOpen(dir+"/over/d/sub/m", func() { openAt(t, unix.AT_FDCWD, dir+"/over/d/sub/m", unix.O_RDONLY) })
	r.expect("path_rmdir", dir+"/over/d/sub/m", "", func() { require.NoError(t, os.Remove(dir+"/over/d/sub/m")) })
	r.expect("path_chmod", dir+"/over", "", func() { require.NoError(t, os.Chmod(dir+"/over", 0o755)) })

	// Another root, below mounts.
	onThread(func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS))
		require.NoError(t, unix.Chroot(dir+"/over/d/sub"))
		r.expect("path_mkdir", "/x/c", "", func() { require.NoError(t, unix.Mkdir("/x/c", 0o755)) })
		r.expectOpen("/x/c", func() { openAt(t, unix.AT_FDCWD, "/x/c", unix.O_RDONLY) })
		r.expect("path_rmdir", "/x/c", "", func() { require.NoError(t, unix.Rmdir("/x/c")) })
	})

	// Never attached.
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir+"/src", unix.OPEN_TREE_CLONE)
	require.NoError(t, err)
	r.expectUnresolved("file_open", func() { openAt(t, tree, "f", unix.O_RDONLY) })
	r.expectUnresolved("path_mkdir", func() { require.NoError(t, unix.Mkdirat(tree, "anon", 0o755)) })
	r.expectUnresolved("path_rename", func() { require.NoError(t, unix.Renameat(tree, "anon", tree, "anon2")) })
	require.NoError(t, unix.MoveMount(tree, "", unix.AT_FDCWD, dir+"/tree", unix.MOVE_MOUNT_F_EMPTY_PATH))
	r.expectOpen(dir+"/tree/f", func() { openAt(t, tree, "f", unix.O_RDONLY) })
	r.expect("path_rmdir", dir+"/tree/anon2", "", func() { require.NoError(t, unix.Unlinkat(tree, "anon2", unix.AT_REMOVEDIR)) })
	// Detached.
	require.NoError(t, unix.Unmount(dir+"/tree", unix.MNT_DETACH))
	r.expectUnresolved("file_open", func() { openAt(t, tree, "f", unix.O_RDONLY) })
	r.expectUnresolved("path_mkdir", func() { require.NoError(t, unix.Mkdirat(tree, "late", 0o755)) })
	r.expectUnresolved("path_chmod", func() { require.NoError(t, unix.Fchmodat(tree, "f", 0o644, 0)) })
	// Of another mount namespace.
	bind := openAt(t, unix.AT_FDCWD, dir+"/bind", unix.O_RDONLY|unix.O_DIRECTORY)
	onThread(func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
		r.expectUnresolved("file_open", func() { openAt(t, bind, "f", unix.O_RDONLY) })
		r.expectUnresolved("path_mkdir", func() { require.NoError(t, unix.Mkdirat(bind, "strange", 0o755)) })
		r.expectOpen(dir+"/bind/strange", func() { openAt(t, unix.AT_FDCWD, dir+"/bind/strange", unix.O_RDONLY) })
	})

	// Out of the part that the mount shows.
	mount(dir+"/src/sub", dir+"/esc", "", unix.MS_BIND)
	escapee := openAt(t, unix.AT_FDCWD, dir+"/esc/x", unix.O_RDONLY|unix.O_DIRECTORY)
	r.expect("path_mkdir", dir+"/esc/x/before", "", func() { require.NoError(t, unix.Mkdirat(escapee, "before", 0o755)) })
	require.NoError(t, os.Rename(dir+"/src/sub/x", dir+"/src/x"))
	r.expectUnresolved("path_mkdir", func() { require.NoError(t, unix.Mkdirat(escapee, "after", 0o755)) })
	r.expectUnresolved("file_open", func() { openAt(t, escapee, ".", unix.O_RDONLY) })
}

// On overlayfs, which containers live on, names are those of the overlay.
func testOverlay(t *testing.T, r *results) {
	dir := t.TempDir()
	for _, d := range []string{"/lower/a", "/upper", "/work", "/m"} {
		require.NoError(t, os.MkdirAll(dir+d, 0o755))
	}
	for _, f := range []string{"/f", "/g"} {
		require.NoError(t, os.WriteFile(dir+"/lower/a"+f, nil, 0o644))
	}
	m := dir + "/m"
	require.NoError(t, unix.Mount("o", m, "overlay", 0, "lowerdir="+dir+"/lower,upperdir="+dir+"/upper,workdir="+dir+"/work"))
	t.Cleanup(func() { unix.Unmount(m, unix.MNT_DETACH) })
	// The file below is opened too: by the same name before 6.5, and later in a way
	// that the hook's table skips.
	open := func(path string, flags int) {
		out := r.of("file_open", func() { openAt(t, unix.AT_FDCWD, path, flags) })
		require.NotEmpty(t, out)
		require.Equal(t, [2]string{strconv.Quote(path), strconv.Quote(path)}, [2]string{out[0].show(0), out[0].show(1)})
	}
	open(m+"/a/f", unix.O_RDONLY)
	open(m+"/a/f", unix.O_RDWR) // copies it up
	open(m+"/a/g", unix.O_RDONLY)
	open(m+"/a/new", unix.O_CREAT|unix.O_RDWR)
	r.expect("path_chmod", m+"/a/g", "", func() { require.NoError(t, os.Chmod(m+"/a/g", 0o600)) })
	r.expect("path_mkdir", m+"/d", "", func() { require.NoError(t, os.Mkdir(m+"/d", 0o755)) })
	r.expect("path_rename", m+"/a/f", m+"/d/f", func() { require.NoError(t, os.Rename(m+"/a/f", m+"/d/f")) })
	r.expect("path_link", m+"/d/f", m+"/a/l", func() { require.NoError(t, os.Link(m+"/d/f", m+"/a/l")) })
	r.expect("path_unlink", m+"/a/g", "", func() { require.NoError(t, os.Remove(m+"/a/g")) })
	fd := openAt(t, unix.AT_FDCWD, m+"/a/new", unix.O_RDWR)
	require.NoError(t, os.Remove(m+"/a/new"))
	r.expect(r.truncateHook(), m+"/a/new", "", func() { require.NoError(t, unix.Ftruncate(fd, 3)) })
	onThread(func() {
		require.NoError(t, unix.Unshare(unix.CLONE_FS))
		require.NoError(t, unix.Chroot(m))
		r.expect("path_mkdir", "/d/in", "", func() { require.NoError(t, unix.Mkdir("/d/in", 0o755)) })
	})
}

func testUnnamed(t *testing.T, r *results) {
	dir := t.TempDir()
	memfd, err := unix.MemfdCreate("secret", 0)
	require.NoError(t, err)
	r.expectOpen("", func() { openAt(t, unix.AT_FDCWD, procFD(memfd), unix.O_RDWR) })
	r.expect("path_chmod", "", "", func() { require.NoError(t, unix.Fchmod(memfd, 0o700)) })
	r.expect(r.truncateHook(), "", "", func() { require.NoError(t, unix.Ftruncate(memfd, 10)) })
	var p [2]int
	require.NoError(t, unix.Pipe(p[:]))
	r.expectOpen("", func() { openAt(t, unix.AT_FDCWD, procFD(p[0]), unix.O_RDONLY) })
	r.expect("path_chmod", "", "", func() { require.NoError(t, unix.Fchmod(p[0], 0o700)) })
	r.expectOpen("", func() { openAt(t, unix.AT_FDCWD, "/proc/self/ns/mnt", unix.O_RDONLY) })

	tmp := -1
	r.expectOpen("", func() { tmp = openAt(t, unix.AT_FDCWD, dir, unix.O_TMPFILE|unix.O_RDWR) })
	r.expectOpen("", func() { openAt(t, unix.AT_FDCWD, procFD(tmp), unix.O_RDONLY) })
	r.expect("path_chmod", "", "", func() { require.NoError(t, unix.Fchmod(tmp, 0o700)) })
	r.expect(r.truncateHook(), "", "", func() { require.NoError(t, unix.Ftruncate(tmp, 10)) })
	r.expect("path_link", "", dir+"/named", func() {
		require.NoError(t, unix.Linkat(unix.AT_FDCWD, procFD(tmp), unix.AT_FDCWD, dir+"/named", unix.AT_SYMLINK_FOLLOW))
	})
	r.expectOpen(dir+"/named", func() { openAt(t, unix.AT_FDCWD, dir+"/named", unix.O_RDONLY) })
	// Unlinked files keep their name, also if it looks like the kernel's for O_TMPFILE.
	for _, name := range []string{"#", "#0", "#1x", "#99999999999999999999", "#999999999999999999999", "gone (deleted)"} {
		fd := openAt(t, unix.AT_FDCWD, dir+"/"+name, unix.O_CREAT|unix.O_RDWR)
		require.NoError(t, os.Remove(dir+"/"+name))
		r.expectOpen(dir+"/"+name, func() { openAt(t, unix.AT_FDCWD, procFD(fd), unix.O_RDONLY) })
		r.expect("path_chmod", dir+"/"+name, "", func() { require.NoError(t, unix.Fchmod(fd, 0o700)) })
	}
	// A removed directory: it can be opened, but nothing made in it.
	require.NoError(t, os.Mkdir(dir+"/dead", 0o700))
	dead := openAt(t, unix.AT_FDCWD, dir+"/dead", unix.O_RDONLY|unix.O_DIRECTORY)
	require.NoError(t, os.Remove(dir+"/dead"))
	r.expectOpen(dir+"/dead", func() { openAt(t, dead, ".", unix.O_RDONLY) })
	for _, res := range r.of("path_mkdir", func() { require.ErrorIs(t, unix.Mkdirat(dead, "x", 0o700), unix.ENOENT) }) {
		require.Equal(t, "<unresolved>", res.show(0))
	}
}

// chain makes directories, each in the last, and returns the deepest.
func chain(t *testing.T, at int, names ...string) int {
	for _, n := range names {
		require.NoError(t, unix.Mkdirat(at, n, 0o700))
		next, err := unix.Openat(at, n, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		require.NoError(t, err)
		unix.Close(at)
		at = next
	}
	t.Cleanup(func() { unix.Close(at) })
	return at
}

func testLongPaths(t *testing.T, r *results) {
	// Removing what is longer than a path is beyond the testing package.
	dir, err := os.MkdirTemp("/tmp", "")
	require.NoError(t, err)
	t.Cleanup(func() { exec.Command("rm", "-rf", dir).Run() })
	top := func() int {
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		require.NoError(t, err)
		return fd
	}
	var deep []string
	for i := range 300 {
		deep = append(deep, "d"+strconv.Itoa(i))
	}
	fd := chain(t, top(), deep...)
	where := dir + "/" + strings.Join(deep, "/")
	r.expect("path_mkdir", where+"/n", "", func() { require.NoError(t, unix.Mkdirat(fd, "n", 0o700)) })
	r.expectOpen(where+"/n", func() { openAt(t, fd, "n", unix.O_RDONLY) })

	// The most names that a path can have, and that the second way can check.
	names := (abi.PathMax-1-len(dir))/2 - 1
	if r.ordered {
		names = seqsMax - 4 // dir has two, and the new directory
	}
	short := make([]string, names)
	for i := range short {
		short[i] = "s"
	}
	fd = chain(t, top(), short...)
	where = dir + "/" + strings.Join(short, "/")
	r.expect("path_mkdir", where+"/n", "", func() { require.NoError(t, unix.Mkdirat(fd, "n", 0o700)) })
	r.expectOpen(where+"/n", func() { openAt(t, fd, "n", unix.O_RDONLY) })
	if r.ordered {
		n := openAt(t, fd, "n", unix.O_RDONLY|unix.O_DIRECTORY)
		r.expect("path_mkdir", where+"/n/o", "", func() { require.NoError(t, unix.Mkdirat(n, "o", 0o700)) })
		o := openAt(t, n, "o", unix.O_RDONLY|unix.O_DIRECTORY)
		r.expectUnresolved("path_mkdir", func() { require.NoError(t, unix.Mkdirat(o, "p", 0o700)) })
	}

	// The longest path, and longer ones.
	var long []string
	where = dir
	for abi.PathMax-1-len(where) > 300 {
		n := strings.Repeat("l", 255)
		long = append(long, n)
		where += "/" + n
	}
	fd = chain(t, top(), long...)
	for over := -2; over <= 12; over++ {
		name := strings.Repeat("e", abi.PathMax-1-len(where)-1+over)
		mkdir := func() { require.NoError(t, unix.Mkdirat(fd, name, 0o700)) }
		open := func() { openAt(t, fd, name, unix.O_RDONLY) }
		file := -1
		create := func() { file = openAt(t, fd, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR) }
		reopen := func() { openAt(t, unix.AT_FDCWD, procFD(file), unix.O_RDONLY) }
		if over > 0 {
			r.expectUnresolved("path_mkdir", mkdir)
			r.expectUnresolved("file_open", open)
			require.NoError(t, unix.Unlinkat(fd, name, unix.AT_REMOVEDIR))
			r.expectUnresolved("file_open", create)
			r.expectUnresolved("path_unlink", func() { require.NoError(t, unix.Unlinkat(fd, name, 0)) })
			r.expectUnresolved("file_open", reopen)
			continue
		}
		r.expect("path_mkdir", where+"/"+name, "", mkdir)
		r.expectOpen(where+"/"+name, open)
		require.NoError(t, unix.Unlinkat(fd, name, unix.AT_REMOVEDIR))
		r.expectOpen(where+"/"+name, create)
		require.NoError(t, unix.Unlinkat(fd, name, 0))
		r.expectOpen(where+"/"+name, reopen) // with " (deleted)" it does not fit into a page
	}
	for _, n := range []int{0, 1, 4094, 4095} {
		target := strings.Repeat("t", n)
		if n == 0 {
			require.ErrorIs(t, unix.Symlink("", dir+"/link"), unix.ENOENT)
			continue
		}
		r.expect("path_symlink", dir+"/link", target, func() {
			if err := unix.Symlink(target, dir+"/link"); err != unix.ENAMETOOLONG { // tmpfs takes less than a page
				require.NoError(t, err)
			}
		})
		os.Remove(dir + "/link")
	}
}

// testSameFiles opens what the system has and compares d_path with the walk.
func testSameFiles(t *testing.T, r *results) {
	n := 0
	for _, root := range []string{"/proc/self", "/proc/sys", "/sys/kernel", "/sys/class", "/dev", "/etc", "/src", "/rig"} {
		left := 400
		filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || strings.Contains(name, "/task/") || strings.Contains(name, "/fd") || strings.Contains(name, "tracing") {
				return nil
			}
			if left--; left < 0 {
				return filepath.SkipAll
			}
			real, err := filepath.EvalSymlinks(name)
			if err != nil {
				return nil
			}
			var fd int
			var failed error
			got := r.of("file_open", func() { fd, failed = unix.Open(real, unix.O_RDONLY|unix.O_NONBLOCK, 0) })
			if failed == nil {
				unix.Close(fd)
			}
			for _, res := range got { // none if it may not be opened, or is a socket
				n++
				want := strings.Replace(real, "/proc/self", "/proc/"+strconv.Itoa(os.Getpid()), 1)
				require.Equal(t, [2]string{strconv.Quote(want), strconv.Quote(want)}, [2]string{res.show(0), res.show(1)})
			}
			return nil
		})
	}
	t.Logf("%d opens", n)
	require.Greater(t, n, 500)
}

func testExecPath(t *testing.T, r *results) {
	dir := t.TempDir()
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir+"/prog", self, 0o700))
	require.NoError(t, os.WriteFile(dir+"/script", []byte("#!"+dir+"/prog -test.run=NONE\n"), 0o700))
	run := func(name string) []string {
		var out []string
		for _, res := range r.of("bprm_check_security", func() { exec.Command(name, "-test.run=NONE").Run() }) {
			out = append(out, res.show(0))
		}
		return out
	}
	require.Equal(t, []string{strconv.Quote(dir + "/prog")}, run(dir+"/prog"))
	require.Equal(t, []string{strconv.Quote(dir + "/script"), strconv.Quote(dir + "/prog")}, run(dir+"/script"))
	require.NoError(t, os.Symlink("prog", dir+"/link"))
	require.Equal(t, []string{strconv.Quote(dir + "/prog")}, run(dir+"/link"))
	memfd, err := unix.MemfdCreate("program", 0)
	require.NoError(t, err)
	_, err = unix.Write(memfd, self)
	require.NoError(t, err)
	require.Equal(t, []string{`""`}, run("/proc/"+strconv.Itoa(os.Getpid())+"/fd/"+strconv.Itoa(memfd)))
}

// Scratch memory is there for each of many threads that want it at once.
func testThreads(t *testing.T, r *results) {
	dir := t.TempDir()
	const threads, each = 100, 3 // what fits into t_results
	r.all()
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for i := range threads {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			runtime.LockOSThread() // and never unlocked: the thread ends
			ready.Done()
			<-begin
			for j := range each {
				unix.Mkdir(fmt.Sprintf("%s/%d-%d", dir, i, j), 0o700)
			}
		}()
	}
	ready.Wait()
	close(begin)
	done.Wait()
	n := 0
	for _, res := range r.all() {
		if r.hooks[res.hook].Name == "path_mkdir" {
			n++
			require.True(t, strings.HasPrefix(res.paths[0], dir+"/"), res.show(0))
		}
	}
	require.Equal(t, threads*each, n)
	require.Zero(t, counter(t, r.coll, abi.CounterNoScratch))
}
