package vmtest

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func archive(t *testing.T, fill func(c *cpioWriter)) []byte {
	t.Helper()
	var b bytes.Buffer
	c := newCPIO(&b)
	fill(c)
	require.NoError(t, c.Close())
	require.EqualValues(t, b.Len(), c.size)
	return b.Bytes()
}

func file(t *testing.T, c *cpioWriter, name, data string) {
	t.Helper()
	require.NoError(t, c.File(name, 0o640, strings.NewReader(data), int64(len(data))))
}

func TestCPIORoundTrip(t *testing.T) {
	data := archive(t, func(c *cpioWriter) {
		for n := range 9 { // every alignment of name and data
			file(t, c, "/a/b/"+strings.Repeat("n", n+1), strings.Repeat("d", n))
		}
		require.NoError(t, c.Symlink("/a/link", "b/n"))
		require.NoError(t, c.Dir("/tmp", 0o1777))
		require.NoError(t, c.Dir("/a/b", 0o700), "a folder may be named again")
	})
	got, err := readCPIO(bytes.NewReader(data))
	require.NoError(t, err)
	var lines []string
	for _, e := range got {
		lines = append(lines, fmt.Sprintf("%o %s %s", e.Mode, e.Name, e.Data))
	}
	want := []string{"40755 a ", "40755 a/b "}
	for n := range 9 {
		want = append(want, fmt.Sprintf("100640 a/b/%s %s", strings.Repeat("n", n+1), strings.Repeat("d", n)))
	}
	require.Equal(t, append(want, "120777 a/link b/n", "41777 tmp "), lines)
}

// An independent reader must agree on the form.
func TestCPIOReadByOthers(t *testing.T) {
	box, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed")
	}
	cmd := exec.Command(box, "cpio", "-t")
	cmd.Stdin = bytes.NewReader(archive(t, func(c *cpioWriter) { file(t, c, "/x/y", "z") }))
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, "x\nx/y\n", string(out))
}

func TestCPIORefuses(t *testing.T) {
	c := newCPIO(io.Discard)
	file(t, c, "/a", "1")
	none := strings.NewReader("")
	require.ErrorContains(t, c.File("/a", 0o644, none, 0), "given twice")
	require.ErrorContains(t, c.File("/x/../a", 0o644, none, 0), "given twice")
	require.ErrorContains(t, c.File("/a/b", 0o644, none, 0), "a file and a folder")
	require.ErrorContains(t, c.File("rel", 0o644, none, 0), "not absolute")
	require.ErrorContains(t, c.File("/n\x00", 0o644, none, 0), "not absolute")
	require.ErrorContains(t, c.File("/big", 0o644, none, 1<<32), "does not fit")
	require.ErrorContains(t, c.File("/short", 0o644, none, 5), "0 bytes, expected 5")
	require.Error(t, c.Close(), "an archive with a broken entry")
}

func TestReadCPIORefuses(t *testing.T) {
	data := archive(t, func(c *cpioWriter) { file(t, c, "/a", "123") })
	for n := range len(data) {
		_, err := readCPIO(bytes.NewReader(data[:n]))
		if n < len(data)-3 { // the padding after the trailer's name may miss
			require.Error(t, err, "%d bytes", n)
		}
	}
	_, err := readCPIO(strings.NewReader(strings.Repeat("x", 200)))
	require.Error(t, err)
}

func FuzzReadCPIO(f *testing.F) {
	var b bytes.Buffer
	c := newCPIO(&b)
	c.File("/a", 0o644, strings.NewReader("x"), 1)
	c.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) { readCPIO(bytes.NewReader(data)) })
}
