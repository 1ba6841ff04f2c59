package vmtest

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/internal/vmtest/guest"
)

// build writes an initramfs and returns its entries as "mode name data".
func build(t *testing.T, cfg Config, modules []File) ([]string, error) {
	t.Helper()
	dir := t.TempDir()
	init := filepath.Join(dir, "init-binary")
	require.NoError(t, os.WriteFile(init, []byte("init"), 0o600))
	m := machine{cfg: cfg, dir: dir}
	plan := &guest.Plan{Payloads: []guest.Payload{{Argv: []string{"x"}, Dir: "/"}}}
	if err := m.writeInitramfs(plan, init, modules); err != nil {
		return nil, err
	}
	require.Equal(t, DefaultMemory, m.cfg.Memory)
	f, err := os.Open(m.initramfs())
	require.NoError(t, err)
	defer f.Close()
	zip, err := gzip.NewReader(f)
	require.NoError(t, err)
	entries, err := readCPIO(zip)
	require.NoError(t, err)
	rest, err := io.ReadAll(zip)
	require.NoError(t, err)
	require.Less(t, len(rest), 4)
	var lines []string
	for _, e := range entries {
		if "/"+e.Name == guest.PlanPath {
			got, err := guest.ParsePlan(e.Data)
			require.NoError(t, err)
			require.Equal(t, plan, got)
			e.Data = []byte("(plan)")
		}
		lines = append(lines, fmt.Sprintf("%o %s %s", e.Mode, e.Name, e.Data))
	}
	return lines, nil
}

func TestInitramfs(t *testing.T) {
	src := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(src, "sub"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(src, "sub", "f"), []byte("in folder"), 0o600))
	require.NoError(t, os.Symlink("f", filepath.Join(src, "sub", "l")))
	require.NoError(t, os.Chmod(src, 0o755))
	one := filepath.Join(src, "sub", "f")

	got, err := build(t, Config{Files: []File{
		{Host: src, Guest: "/tree"},
		{Host: one, Guest: "/etc/copy", Mode: 0o755},
		{Host: filepath.Join(src, "sub", "l"), Guest: "/etc/followed"},
		{Data: []byte("data"), Guest: "/etc/data"},
		{Link: "data", Guest: "/etc/link"},
	}}, []File{{Data: []byte("mod"), Guest: "/rig/modules/m.ko"}})
	require.NoError(t, err)
	require.Equal(t, []string{
		"100755 init init",
		"40755 rig ",
		"100644 rig/plan.json (plan)",
		"40755 rig/modules ",
		"100644 rig/modules/m.ko mod",
		"40755 tree ",
		"40750 tree/sub ",
		"100600 tree/sub/f in folder",
		"120777 tree/sub/l f",
		"40755 etc ",
		"100755 etc/copy in folder",
		"100600 etc/followed in folder",
		"100644 etc/data data",
		"120777 etc/link data",
	}, got)
}

func TestInitramfsRefuses(t *testing.T) {
	_, err := build(t, Config{Files: []File{{Host: "/does/not/exist", Guest: "/x"}}}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = build(t, Config{Files: []File{{Host: os.DevNull, Guest: "/x"}}}, nil)
	require.ErrorContains(t, err, "neither a file nor a folder")
	_, err = build(t, Config{Files: []File{{Data: []byte{}, Guest: "/init"}}}, nil)
	require.ErrorContains(t, err, "given twice")
}

func TestMemoryGrowsWithFiles(t *testing.T) {
	require.Equal(t, DefaultMemory, memoryFor(0))
	require.Equal(t, DefaultMemory, memoryFor(100<<20))
	require.Equal(t, 512+3*1000, memoryFor(1000<<20))
}

func TestCheckStatic(t *testing.T) {
	require.Error(t, CheckStatic("/etc/passwd"))
	require.ErrorIs(t, CheckStatic("/does/not/exist"), os.ErrNotExist)
	if _, err := os.Stat("/bin/ls"); err == nil {
		require.ErrorIs(t, CheckStatic("/bin/ls"), ErrNotStatic)
	}
}
