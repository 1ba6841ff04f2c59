package vmtest

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// File types of cpio modes, as in stat(2).
const (
	typeMask    = 0o170000
	typeDir     = 0o040000
	typeRegular = 0o100000
	typeLink    = 0o120000
)

const (
	cpioMagic   = "070701" // the "newc" form, which is what the kernel unpacks
	cpioTrailer = "TRAILER!!!"
	cpioHeader  = len(cpioMagic) + 13*8
)

// cpioWriter writes an archive in the newc form. Owner and time of every entry
// are zero, so equal contents give equal archives.
type cpioWriter struct {
	w     io.Writer
	ino   uint32
	size  int64 // bytes written so far
	known map[string]uint32
	err   error
}

func newCPIO(w io.Writer) *cpioWriter {
	return &cpioWriter{w: w, known: map[string]uint32{"/": typeDir}}
}

// Dir adds a folder and those above it, unless they are there.
func (c *cpioWriter) Dir(name string, perm uint32) error {
	name, err := cleanGuest(name)
	if err != nil {
		return err
	}
	switch mode, ok := c.known[name]; {
	case ok && mode&typeMask == typeDir:
		return nil
	case ok:
		return fmt.Errorf("guest path %s is a file and a folder", name)
	}
	if err := c.Dir(path.Dir(name), 0o755); err != nil {
		return err
	}
	return c.entry(name, typeDir|perm&0o7777, strings.NewReader(""), 0)
}

// File adds a regular file of exactly size bytes.
func (c *cpioWriter) File(name string, perm uint32, r io.Reader, size int64) error {
	return c.leaf(name, typeRegular|perm&0o7777, r, size)
}

// Symlink adds a symbolic link.
func (c *cpioWriter) Symlink(name, target string) error {
	return c.leaf(name, typeLink|0o777, strings.NewReader(target), int64(len(target)))
}

func (c *cpioWriter) leaf(name string, mode uint32, r io.Reader, size int64) error {
	name, err := cleanGuest(name)
	if err != nil {
		return err
	}
	if _, ok := c.known[name]; ok {
		return fmt.Errorf("guest path %s is given twice", name)
	}
	if err := c.Dir(path.Dir(name), 0o755); err != nil {
		return err
	}
	return c.entry(name, mode, r, size)
}

// Close writes the trailer. It does not close the underlying writer.
func (c *cpioWriter) Close() error {
	c.ino = 0
	return c.raw(cpioTrailer, 0, strings.NewReader(""), 0)
}

func (c *cpioWriter) entry(name string, mode uint32, r io.Reader, size int64) error {
	if size < 0 || size > 1<<32-1 {
		return fmt.Errorf("%s: size %d does not fit a cpio header", name, size)
	}
	c.known[name] = mode
	c.ino++
	return c.raw(strings.TrimPrefix(name, "/"), mode, r, size)
}

func (c *cpioWriter) raw(name string, mode uint32, r io.Reader, size int64) error {
	links := 1
	if mode&typeMask == typeDir {
		links = 2
	}
	// magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor,
	// rdevmajor, rdevminor, namesize, check
	c.write(fmt.Appendf(nil, "%s%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		cpioMagic, c.ino, mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(name)+1, 0, name))
	c.pad()
	if c.err == nil {
		var n int64
		n, c.err = io.Copy(c.w, io.LimitReader(r, size))
		c.size += n
		if c.err == nil && n != size {
			c.err = fmt.Errorf("%s: %d bytes, expected %d", name, n, size)
		}
	}
	c.pad()
	return c.err
}

func (c *cpioWriter) write(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
		c.size += int64(len(b))
	}
}

func (c *cpioWriter) pad() { c.write(make([]byte, -c.size&3)) }

func cleanGuest(name string) (string, error) {
	if !strings.HasPrefix(name, "/") || strings.IndexByte(name, 0) >= 0 {
		return "", fmt.Errorf("guest path %q is not absolute", name)
	}
	return path.Clean(name), nil
}

// cpioEntry is one entry of an archive, read back.
type cpioEntry struct {
	Name string // without leading slash
	Mode uint32
	Data []byte
}

// readCPIO reads an archive in the newc form up to its trailer.
func readCPIO(r io.Reader) ([]cpioEntry, error) {
	var entries []cpioEntry
	pos := int64(0)
	read := func(n int64) ([]byte, error) {
		var b strings.Builder
		got, err := io.CopyN(&b, r, n)
		pos += got
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return []byte(b.String()), err
	}
	padded := func(n int64) ([]byte, error) {
		b, err := read(n + (-(pos + n) & 3))
		if err != nil {
			return nil, err
		}
		return b[:n], nil
	}
	for {
		head, err := read(int64(cpioHeader))
		if err != nil {
			return nil, err
		}
		if string(head[:len(cpioMagic)]) != cpioMagic {
			return nil, fmt.Errorf("no cpio header at %d", pos-int64(cpioHeader))
		}
		field := func(i int) int64 {
			at := len(cpioMagic) + 8*i
			v, parseErr := strconv.ParseUint(string(head[at:at+8]), 16, 32)
			if parseErr != nil && err == nil {
				err = parseErr
			}
			return int64(v)
		}
		mode, size, nameSize := field(1), field(6), field(11)
		if err != nil {
			return nil, err
		}
		name, err := padded(nameSize)
		if err != nil {
			return nil, err
		}
		if len(name) == 0 || name[len(name)-1] != 0 {
			return nil, fmt.Errorf("cpio name at %d does not end", pos)
		}
		data, err := padded(size)
		if err != nil {
			return nil, err
		}
		e := cpioEntry{string(name[:len(name)-1]), uint32(mode), data}
		if e.Name == cpioTrailer {
			return entries, nil
		}
		entries = append(entries, e)
	}
}
