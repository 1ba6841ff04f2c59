package object

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// metaMagic starts the section. The zero byte makes sure that it is not text.
const metaMagic = "SNAPPY\x00\n"

const metaHeaderSize = len(metaMagic) + 4

// encodeMeta returns the contents of the section.
func encodeMeta(m *Meta) ([]byte, error) {
	c := &codec{writing: true}
	c.buf = binary.LittleEndian.AppendUint32([]byte(metaMagic), MetaVersion)
	c.meta(m)
	if c.err != nil {
		return nil, c.err
	}
	if len(c.buf) > MaxMetaBytes {
		return nil, fmt.Errorf("%w: policy description of %d bytes, at most %d", ErrLimit, len(c.buf), MaxMetaBytes)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return c.buf, nil
}

// decodeMeta reads the contents of the section. There is one encoding of each
// Meta: what it accepts, encodeMeta turns into the same bytes.
func decodeMeta(b []byte) (*Meta, error) {
	if len(b) > MaxMetaBytes {
		return nil, fmt.Errorf("%w: section of %d bytes, at most %d", ErrLimit, len(b), MaxMetaBytes)
	}
	if len(b) < metaHeaderSize {
		return nil, fmt.Errorf("%w: section of %d bytes", ErrTruncated, len(b))
	}
	if string(b[:len(metaMagic)]) != metaMagic {
		return nil, fmt.Errorf("%w: wrong magic", ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint32(b[len(metaMagic):]); v != MetaVersion {
		return nil, fmt.Errorf("%w: %d, this program reads %d", ErrVersion, v, MetaVersion)
	}
	c := &codec{buf: b[metaHeaderSize:]}
	m := new(Meta)
	c.meta(m)
	if c.err != nil {
		return nil, c.err
	}
	if len(c.buf) != 0 {
		return nil, fmt.Errorf("%w: %d bytes after the end", ErrCorrupt, len(c.buf))
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// codec walks a Meta once, writing it to buf or reading it from there, so that
// both directions agree by construction. Numbers are unsigned LEB128 in shortest
// form, strings and lists are prefixed with their length. After the first error
// nothing more happens.
type codec struct {
	writing bool
	buf     []byte
	err     error
}

func (c *codec) meta(m *Meta) {
	c.name("compiler", &m.Compiler, 1)
	c.name("policy", &m.Policy, 1)
	c.raw("digest", m.Digest[:])
	list(c, "sources", &m.Sources, MaxSources, func(s *Source) {
		c.name("name of source", &s.Name, 1)
		c.text("text of source", &s.Text, MaxSourceBytes)
	})
	list(c, "params", &m.Params, MaxListEntries, func(p *Param) {
		c.name("name of parameter", &p.Name, 1)
		c.name("type of parameter", &p.Type, 1)
		c.text("value of parameter", &p.Value, MaxTextBytes)
		c.flag("origin of parameter", &p.Set)
	})
	list(c, "rules", &m.Rules, MaxRules, func(r *Rule) {
		c.u32("id of rule", &r.ID, math.MaxUint32)
		c.name("verb of rule", &r.Verb, 1)
		c.name("name of rule", &r.Name, 0)
		list(c, "operations of rule", &r.Ops, MaxRuleOps, func(s *string) { c.name("operation of rule", s, 1) })
		c.u32("file of rule", &r.File, MaxSources)
		c.u32("line of rule", &r.Line, MaxLine)
		c.u32("column of rule", &r.Col, MaxSourceBytes+1)
		c.text("reason of rule", &r.Because, MaxTextBytes)
		c.u32("errno of rule", &r.Errno, MaxErrno)
		c.text("text of rule", &r.Text, MaxTextBytes)
	})
	list(c, "defaults", &m.Defaults, MaxListEntries, func(d *Default) {
		c.name("operation of default", &d.Op, 0)
		c.name("verdict of default", &d.Verdict, 1)
	})
	list(c, "hooks", &m.Hooks, MaxListEntries, func(h *Hook) {
		c.name("name of hook", &h.Name, 1)
		c.flag("sleepability of hook", &h.Sleepable)
		c.name("program of hook", &h.Program, 1)
	})
	for _, l := range []struct {
		what  string
		names *[]string
	}{{"helpers", &m.Helpers}, {"kfuncs", &m.Kfuncs}, {"features", &m.Features}} {
		list(c, l.what, l.names, MaxListEntries, func(s *string) { c.name("entry of "+l.what, s, 1) })
	}
	c.u64("table bytes", &m.Used.TableBytes, math.MaxInt64)
	c.u64("instructions", &m.Used.Instructions, math.MaxInt64)
}

func (c *codec) fail(kind error, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...))
	}
}

// u64 is a number of at most limit.
func (c *codec) u64(what string, v *uint64, limit uint64) {
	if c.err != nil {
		return
	}
	if !c.writing {
		n, size := binary.Uvarint(c.buf)
		switch {
		case size == 0:
			c.fail(ErrTruncated, "%s", what)
			return
		case size < 0 || size > 1 && c.buf[size-1] == 0:
			c.fail(ErrCorrupt, "%s is no number in shortest form", what)
			return
		}
		*v, c.buf = n, c.buf[size:]
	}
	if *v > limit {
		c.fail(ErrLimit, "%s is %d, at most %d", what, *v, limit)
		return
	}
	if c.writing {
		c.buf = binary.AppendUvarint(c.buf, *v)
	}
}

func (c *codec) u32(what string, v *uint32, limit uint32) {
	n := uint64(*v)
	c.u64(what, &n, uint64(limit))
	if c.err == nil && !c.writing {
		*v = uint32(n)
	}
}

func (c *codec) flag(what string, v *bool) {
	n := uint64(0)
	if *v {
		n = 1
	}
	c.u64(what, &n, 1)
	if !c.writing {
		*v = n == 1
	}
}

// raw is a fixed number of bytes.
func (c *codec) raw(what string, v []byte) {
	if c.err != nil {
		return
	}
	if c.writing {
		c.buf = append(c.buf, v...)
		return
	}
	if len(c.buf) < len(v) {
		c.fail(ErrTruncated, "%s", what)
		return
	}
	c.buf = c.buf[copy(v, c.buf):]
}

// text is a string of at most limit bytes.
func (c *codec) text(what string, s *string, limit int) {
	n := uint64(len(*s))
	c.u64("length of "+what, &n, uint64(limit))
	if c.err != nil {
		return
	}
	if !c.writing {
		if n > uint64(len(c.buf)) {
			c.fail(ErrTruncated, "%s", what)
			return
		}
		*s, c.buf = string(c.buf[:n]), c.buf[n:]
	}
	if !utf8.ValidString(*s) || strings.IndexByte(*s, 0) >= 0 {
		c.fail(ErrCorrupt, "%s is no UTF-8 text", what)
		return
	}
	if c.writing {
		c.buf = append(c.buf, *s...)
	}
}

// name is a string of shortest…MaxNameBytes bytes that is safe to print.
func (c *codec) name(what string, s *string, shortest int) {
	c.text(what, s, MaxNameBytes)
	if c.err != nil {
		return
	}
	if len(*s) < shortest {
		c.fail(ErrCorrupt, "%s is empty", what)
		return
	}
	for _, r := range *s {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			c.fail(ErrCorrupt, "%s has the control character %U", what, r)
			return
		}
	}
}

// list is a list of at most limit elements. Reading appends one element at a
// time, each backed by at least one byte of input, so that a large number alone
// allocates nothing.
func list[T any](c *codec, what string, s *[]T, limit int, each func(*T)) {
	n := uint64(len(*s))
	c.u64("number of "+what, &n, uint64(limit))
	if c.err != nil {
		return
	}
	if c.writing {
		for i := range *s {
			each(&(*s)[i])
		}
		return
	}
	if n > uint64(len(c.buf)) {
		c.fail(ErrTruncated, "%s", what)
		return
	}
	for range n {
		var v T
		each(&v)
		if c.err != nil {
			return
		}
		*s = append(*s, v)
	}
}
