package vmtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLockFile(t *testing.T) {
	locks, err := parseLock(lockFile)
	require.NoError(t, err)
	require.Len(t, locks, 2)
	require.Equal(t, []string{"6.12", "6.1"}, Kernels())
	for _, l := range locks {
		require.True(t, strings.HasPrefix(l.Package, "linux-image-"+l.Alias+"."))
		require.True(t, strings.HasPrefix(l.Version, l.Alias+"."))
		got, err := findLock(l.Alias)
		require.NoError(t, err)
		require.Equal(t, l, got)
	}
	_, err = findLock("5.4")
	require.ErrorContains(t, err, `unknown kernel "5.4"; known: 6.12, 6.1`)
}

func TestParseLockErrors(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	good := "a meta pkg 1 " + sum + " boot/vmlinuz-1\n"
	locks, err := parseLock("# comment\n\n" + good)
	require.NoError(t, err)
	require.Equal(t, []Lock{{"a", "meta", "pkg", "1", sum, "boot/vmlinuz-1"}}, locks)
	for text, want := range map[string]string{
		"a b c\n":                      "kernels.lock:1: 3 fields, want 6",
		good + "b m p 1 abcd boot/v\n": `kernels.lock:2: "abcd" is no sha256`,
		"a m p 1 " + strings.ToUpper(sum) + " b/v\n": "is no sha256",
		"a m p 1 " + sum + " ../v\n":                 `bad path "../v"`,
		"a m p 1 " + sum + " /boot/v\n":              `bad path "/boot/v"`,
		good + good:                                  "kernels.lock:2: second entry for a",
	} {
		_, err := parseLock(text)
		require.ErrorContains(t, err, want)
	}
}

// archiveOf is a package archive in the form of the tools that read one.
type archiveOf struct {
	debs    map[string]string // "name=version" → contents
	meta    map[string]string
	stale   bool // package lists are missing until an update
	calls   []string
	images  int
	noFetch error
}

func (a *archiveOf) run(_ context.Context, dir, name string, args ...string) (string, error) {
	a.calls = append(a.calls, name+" "+strings.Join(args, " "))
	if name == "sudo" {
		name, args = args[1], args[2:]
	}
	last := args[len(args)-1]
	switch {
	case name == "apt-get" && last == "update":
		a.stale = false
		return "", a.noFetch
	case name == "apt-get":
		for _, key := range slices.Sorted(maps.Keys(a.debs)) {
			pkg, _, _ := strings.Cut(key, "=")
			if !a.stale && (last == key || last == pkg) {
				return "", os.WriteFile(filepath.Join(dir, key+".deb"), []byte(a.debs[key]), 0o644)
			}
		}
		return "", errors.New("E: version not found: " + last)
	case name == "apt-cache":
		return last + "\n  Depends: " + a.meta[last] + "\n", nil
	case args[0] == "--show":
		return strings.Replace(strings.TrimSuffix(filepath.Base(last), ".deb"), "=", " ", 1) + "\n", nil
	case args[0] == "--extract":
		for _, d := range []string{"boot", "lib/modules", "usr/share"} {
			if err := os.MkdirAll(filepath.Join(dir, last, d), 0o755); err != nil {
				return "", err
			}
		}
		for i := range a.images {
			if err := os.WriteFile(filepath.Join(dir, last, "boot", "vmlinuz-"+strings.Repeat("9", i+1)), nil, 0o644); err != nil {
				return "", err
			}
		}
		return "", nil
	}
	return "", errors.New("unexpected " + name)
}

func sumOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestFetch(t *testing.T) {
	lock := Lock{"a", "meta", "linux-image-1", "1.0", sumOf("deb one"), "boot/vmlinuz-9"}
	fetchWith := func(t *testing.T, a *archiveOf, c *cache) (*Kernel, string, error) {
		var log bytes.Buffer
		f := fetcher{cache: c, run: a.run, log: &log}
		k, err := f.fetch(t.Context(), lock)
		return k, log.String(), err
	}
	current := map[string]string{"linux-image-1=1.0": "deb one"}
	newer := map[string]string{"linux-image-2=2.0": "deb two"}
	meta := map[string]string{"meta": "linux-image-2"}

	t.Run("locked build", func(t *testing.T) {
		a, c := &archiveOf{debs: current, images: 1}, &cache{t.TempDir()}
		k, _, err := fetchWith(t, a, c)
		require.NoError(t, err)
		require.Equal(t, "linux-image-1", k.Package)
		require.Equal(t, "1.0", k.Version)
		require.Equal(t, "9", k.Release())
		require.False(t, k.Drifted)
		require.FileExists(t, k.Image)
		require.NoDirExists(t, filepath.Join(k.dir, "root", "lib"))
		require.FileExists(t, filepath.Join(k.dir, "kernel.deb"))

		a.calls = nil
		again, log, err := fetchWith(t, a, c)
		require.NoError(t, err)
		require.Equal(t, k, again)
		require.Empty(t, a.calls, "the second time comes from the cache")
		require.Empty(t, log)
	})
	t.Run("lists missing", func(t *testing.T) {
		a := &archiveOf{debs: current, images: 1, stale: true}
		k, _, err := fetchWith(t, a, &cache{t.TempDir()})
		require.NoError(t, err)
		require.False(t, k.Drifted)
		require.True(t, strings.HasSuffix(a.calls[1], "apt-get -qq update"), a.calls[1])
	})
	t.Run("drift", func(t *testing.T) {
		a, c := &archiveOf{debs: newer, meta: meta, images: 1}, &cache{t.TempDir()}
		for range 2 { // the warning comes every time
			k, log, err := fetchWith(t, a, c)
			require.NoError(t, err)
			require.True(t, k.Drifted)
			require.Equal(t, "linux-image-2", k.Package)
			require.Equal(t, sumOf("deb two"), k.SHA256)
			require.Contains(t, log, "DRIFTED: linux-image-1 1.0 is no longer in the archive; using linux-image-2 2.0 (sha256 "+sumOf("deb two"))
		}
	})
	for _, tc := range []struct {
		name string
		a    *archiveOf
		want string
	}{
		{"wrong contents", &archiveOf{debs: map[string]string{"linux-image-1=1.0": "forged"}, images: 1}, "but kernels.lock says"},
		{"nothing there", &archiveOf{meta: map[string]string{"meta": "linux-image-3"}}, "version not found"},
		{"no network", &archiveOf{noFetch: errors.New("no network")}, "no network"},
		{"meta without kernel", &archiveOf{meta: map[string]string{"meta": "libc6"}}, "meta depends on no kernel"},
		{"two kernels", &archiveOf{debs: current, images: 2}, "holds 2 kernels"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := fetchWith(t, tc.a, &cache{t.TempDir()})
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestFetchLeavesNothingHalfDone(t *testing.T) {
	c := &cache{t.TempDir()}
	_, err := c.fill(t.Context(), func(dir string) error {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "part"), nil, 0o644))
		return errors.New("failed")
	}, "a", "b")
	require.ErrorContains(t, err, "failed")
	left, err := os.ReadDir(c.path("a"))
	require.NoError(t, err)
	require.Empty(t, left)
	dir, err := c.fill(t.Context(), func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "whole"), nil, 0o644)
	}, "a", "b")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "whole"))
}

func TestModuleOrder(t *testing.T) {
	const dep = "kernel/fs/overlay.ko.xz:\nkernel/net/br_netfilter.ko: kernel/net/bridge.ko kernel/net/stp.ko kernel/net/llc.ko\nkernel/net/bridge.ko: kernel/net/stp.ko kernel/net/llc.ko\nkernel/net/stp.ko: kernel/net/llc.ko\nkernel/net/llc.ko:\n"
	const builtin = "kernel/drivers/virtio/virtio_pci.ko\n"
	got, err := moduleOrder(dep, builtin, []string{"bridge", "overlay", "br-netfilter", "virtio-pci"})
	require.NoError(t, err)
	require.Equal(t, []string{"kernel/net/llc.ko", "kernel/net/stp.ko", "kernel/net/bridge.ko", "kernel/fs/overlay.ko.xz", "kernel/net/br_netfilter.ko"}, got)
	_, err = moduleOrder(dep, builtin, []string{"nope"})
	require.ErrorContains(t, err, `no module "nope"`)
}

// The embedded sources must be complete: what is built from them is what boots.
func TestGuestInitBuilds(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the go tool")
	}
	c := &cache{t.TempDir()}
	init, err := c.guestInit(t.Context())
	require.NoError(t, err)
	require.NoError(t, CheckStatic(init))
	before, err := os.Stat(init)
	require.NoError(t, err)
	again, err := c.guestInit(t.Context())
	require.NoError(t, err)
	require.Equal(t, init, again)
	after, err := os.Stat(again)
	require.NoError(t, err)
	require.Equal(t, before.ModTime(), after.ModTime())
}
