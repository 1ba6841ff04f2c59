//go:build !kernel

package object

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
)

// readErrors are all errors that hostile bytes may cause.
var readErrors = []error{ErrNotObject, ErrNoMeta, ErrVersion, ErrTruncated, ErrLimit, ErrCorrupt, ErrDigest}

func requireReadError(t *testing.T, err error) {
	t.Helper()
	for _, e := range readErrors {
		if errors.Is(err, e) {
			return
		}
	}
	t.Fatalf("untyped error: %v", err)
}

func TestReadsWhatWasWritten(t *testing.T) {
	raw, err := Write(sample())
	require.NoError(t, err)
	m, err := Read(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Equal(t, sampleMeta(), *m)

	require.Equal(t, "audit", m.Rule(7).Verb)
	require.Equal(t, "deny", m.Rule(1).Verb)
	require.Nil(t, m.Rule(2))
	require.Nil(t, m.Rule(math.MaxUint32))
}

// A policy that concerns no event has no program; it is an object all the same.
func TestReadsObjectWithoutPrograms(t *testing.T) {
	meta := sampleMeta()
	meta.Hooks, meta.Helpers, meta.Features, meta.Used = nil, nil, nil, Usage{}
	raw, err := Write(&File{License: "GPL", Meta: meta})
	require.NoError(t, err)
	m, err := Read(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Equal(t, meta, *m)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Empty(t, spec.Programs)
}

// TestReadTruncated: no prefix of a file is taken for a file.
func TestReadTruncated(t *testing.T) {
	raw, err := Write(sample())
	require.NoError(t, err)
	for n := range len(raw) {
		_, err := Read(bytes.NewReader(raw[:n]))
		require.Error(t, err, "%d of %d bytes", n, len(raw))
		requireReadError(t, err)
	}
}

// TestMetaTruncated: no prefix of a section is taken for a section, and no
// section with a tail.
func TestMetaTruncated(t *testing.T) {
	m := sampleMeta()
	raw, err := encodeMeta(&m)
	require.NoError(t, err)
	for n := range len(raw) {
		_, err := decodeMeta(raw[:n])
		require.ErrorIs(t, err, ErrTruncated, "%d of %d bytes", n, len(raw))
	}
	_, err = decodeMeta(append(raw, 0))
	require.ErrorIs(t, err, ErrCorrupt)
}

// TestMetaFlipped: each changed byte is either refused or a different Meta that
// encodes to exactly the changed bytes.
func TestMetaFlipped(t *testing.T) {
	m := sampleMeta()
	raw, err := encodeMeta(&m)
	require.NoError(t, err)
	for i := range raw {
		for _, bit := range []byte{0x01, 0x10, 0x80, 0xff} {
			raw[i] ^= bit
			got, err := decodeMeta(raw)
			if err != nil {
				requireReadError(t, err)
			} else {
				again, err := encodeMeta(got)
				require.NoError(t, err)
				require.Equal(t, raw, again)
				require.NotEqual(t, m, *got)
			}
			raw[i] ^= bit
		}
	}
}

// TestMetaHasOneEncoding: a number in a longer form than needed is refused, and
// so is one that has more than 64 bits.
func TestMetaHasOneEncoding(t *testing.T) {
	m := sampleMeta()
	raw, err := encodeMeta(&m)
	require.NoError(t, err)
	last := len(raw) - 1 // Used.Instructions, one byte
	require.EqualValues(t, m.Used.Instructions, raw[last])
	for _, tail := range [][]byte{
		{raw[last] | 0x80, 0},
		{raw[last] | 0x80, 0x80, 0},
		bytes.Repeat([]byte{0xff}, 11),
	} {
		_, err := decodeMeta(append(bytes.Clone(raw[:last]), tail...))
		require.ErrorIs(t, err, ErrCorrupt, "%x", tail)
	}
}

func TestMetaVersion(t *testing.T) {
	m := sampleMeta()
	raw, err := encodeMeta(&m)
	require.NoError(t, err)
	binary.LittleEndian.PutUint32(raw[len(metaMagic):], MetaVersion+1)
	_, err = decodeMeta(raw)
	require.ErrorIs(t, err, ErrVersion)
	require.ErrorContains(t, err, fmt.Sprint(MetaVersion+1))
}

func TestReadForeignFiles(t *testing.T) {
	raw, err := Write(sample())
	require.NoError(t, err)
	le := binary.LittleEndian
	patched := func(change func(b []byte)) []byte {
		b := bytes.Clone(raw)
		change(b)
		return b
	}
	shoff := le.Uint64(raw[40:])
	section := func(b []byte, i int) []byte { return b[shoff+uint64(i)*sectionHeaderSize:][:sectionHeaderSize] }
	const snappy = 8
	shstrtab := int(le.Uint16(raw[62:]))
	names := le.Uint64(section(raw, shstrtab)[24:])
	require.Equal(t, SectionName, string(raw[names+uint64(le.Uint32(section(raw, snappy))):][:len(SectionName)]))

	for _, c := range []struct {
		name string
		raw  []byte
		want error
	}{
		{"nothing", nil, ErrNotObject},
		{"text", []byte(strings.Repeat("policy nginx\n", 20)), ErrNotObject},
		{"32 bit", patched(func(b []byte) { b[4] = 1 }), ErrNotObject},
		{"big endian", patched(func(b []byte) { b[5] = 2 }), ErrNotObject},
		{"executable", patched(func(b []byte) { b[16] = 2 }), ErrNotObject},
		{"x86", patched(func(b []byte) { b[18] = 62 }), ErrNotObject},
		{"section headers of another size", patched(func(b []byte) { b[58] = 40 }), ErrNotObject},
		{"no sections", patched(func(b []byte) { le.PutUint16(b[60:], 0) }), ErrNotObject},
		{"no section names", patched(func(b []byte) { le.PutUint16(b[62:], 0) }), ErrNotObject},
		{"section names out of range", patched(func(b []byte) { le.PutUint16(b[62:], 999) }), ErrNotObject},
		{"section names are code", patched(func(b []byte) { le.PutUint16(b[62:], 1) }), ErrNotObject},
		{"section names too large", patched(func(b []byte) { le.PutUint64(section(b, shstrtab)[32:], 1<<40) }), ErrLimit},
		{"section names beyond the end", patched(func(b []byte) { le.PutUint64(section(b, shstrtab)[24:], math.MaxUint64) }), ErrTruncated},
		{"section table beyond the end", patched(func(b []byte) { le.PutUint64(b[40:], math.MaxUint64-10) }), ErrTruncated},
		{"most sections", patched(func(b []byte) { le.PutUint16(b[60:], math.MaxUint16) }), ErrTruncated},
		{"no such section", patched(func(b []byte) { le.PutUint32(section(b, snappy), 0) }), ErrNoMeta},
		{"name out of range", patched(func(b []byte) { le.PutUint32(section(b, snappy), math.MaxUint32) }), ErrNoMeta},
		{"two sections", patched(func(b []byte) { copy(section(b, 1), section(b, snappy)[:4]) }), ErrCorrupt},
		{"section without contents", patched(func(b []byte) { le.PutUint32(section(b, snappy)[4:], 8) }), ErrCorrupt},
		{"compressed section", patched(func(b []byte) { le.PutUint64(section(b, snappy)[8:], 0x800) }), ErrCorrupt},
		{"empty section", patched(func(b []byte) { le.PutUint64(section(b, snappy)[32:], 0) }), ErrTruncated},
		{"huge section", patched(func(b []byte) { le.PutUint64(section(b, snappy)[32:], 1<<62) }), ErrLimit},
		{"section beyond the end", patched(func(b []byte) { le.PutUint64(section(b, snappy)[24:], uint64(len(b))) }), ErrTruncated},
		{"section elsewhere", patched(func(b []byte) { le.PutUint64(section(b, snappy)[24:], 0) }), ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Read(bytes.NewReader(c.raw))
			require.ErrorIs(t, err, c.want)
			require.Nil(t, m)
		})
	}
}

type failingReader struct{}

func (failingReader) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func TestReadPassesIOErrorsOn(t *testing.T) {
	_, err := Read(failingReader{})
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.NotErrorIs(t, err, ErrNotObject)
}

// TestMetaRefuses: the same rules hold for what is written and for what is read.
func TestMetaRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		want   error
		change func(*Meta)
	}{
		{"no policy name", ErrCorrupt, func(m *Meta) { m.Policy = "" }},
		{"control character", ErrCorrupt, func(m *Meta) { m.Policy = "a\x1b[31m" }},
		{"C1 control character", ErrCorrupt, func(m *Meta) { m.Policy = "a\u009b31m" }},
		{"broken UTF-8 in a name", ErrCorrupt, func(m *Meta) { m.Rules[0].Name = "\xff" }},
		{"broken UTF-8 in a text", ErrCorrupt, func(m *Meta) { m.Rules[0].Text = "\xc3" }},
		{"zero byte in a text", ErrCorrupt, func(m *Meta) { m.Rules[0].Because = "a\x00b" }},
		{"long name", ErrLimit, func(m *Meta) { m.Policy = strings.Repeat("x", MaxNameBytes+1) }},
		{"long text", ErrLimit, func(m *Meta) { m.Rules[0].Text = strings.Repeat("x", MaxTextBytes+1) }},
		{"long source", ErrLimit, func(m *Meta) { m.Sources[0].Text = strings.Repeat("x", MaxSourceBytes+1) }},
		{"many sources", ErrLimit, func(m *Meta) { m.Sources = make([]Source, MaxSources+1) }},
		{"much source", ErrLimit, func(m *Meta) {
			for i := range MaxSourcesBytes / MaxSourceBytes {
				m.Sources = append(m.Sources, Source{Name: fmt.Sprint("s", i), Text: strings.Repeat("x", MaxSourceBytes)})
			}
		}},
		{"many rules", ErrLimit, func(m *Meta) { m.Rules = make([]Rule, MaxRules+1) }},
		{"many operations", ErrLimit, func(m *Meta) { m.Rules[0].Ops = make([]string, MaxRuleOps+1) }},
		{"many helpers", ErrLimit, func(m *Meta) { m.Helpers = make([]string, MaxListEntries+1) }},
		{"empty helper", ErrCorrupt, func(m *Meta) { m.Helpers = []string{""} }},
		{"errno", ErrLimit, func(m *Meta) { m.Rules[0].Errno = MaxErrno + 1 }},
		{"line", ErrLimit, func(m *Meta) { m.Rules[0].Line = MaxLine + 1 }},
		{"no line", ErrCorrupt, func(m *Meta) { m.Rules[0].Line = 0 }},
		{"no column", ErrCorrupt, func(m *Meta) { m.Rules[1].Col = 0 }},
		{"file of a rule", ErrCorrupt, func(m *Meta) { m.Rules[1].File = 1 }},
		{"rule twice", ErrCorrupt, func(m *Meta) { m.Rules[1].ID = 1 }},
		{"rules out of order", ErrCorrupt, func(m *Meta) { m.Rules[0].ID = 8 }},
		{"source twice", ErrCorrupt, func(m *Meta) { m.Sources = append(m.Sources, m.Sources[0]) }},
		{"digest", ErrDigest, func(m *Meta) { m.Digest[31] ^= 1 }},
		{"source changed", ErrDigest, func(m *Meta) { m.Sources[0].Text += " " }},
		{"usage", ErrLimit, func(m *Meta) { m.Used.TableBytes = math.MaxUint64 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := sampleMeta()
			c.change(&m)
			raw, err := encodeMeta(&m)
			require.ErrorIs(t, err, c.want)
			require.Nil(t, raw)
		})
	}
}

// TestSourceDigestKeepsPartsApart: moving a byte from a name to a text, or from
// one source to the next, gives another digest.
func TestSourceDigestKeepsPartsApart(t *testing.T) {
	seen := map[[32]byte]bool{}
	for _, s := range [][]Source{
		nil,
		{{}},
		{{}, {}},
		{{Name: "ab"}},
		{{Name: "a", Text: "b"}},
		{{Text: "ab"}},
		{{Name: "a"}, {Text: "b"}},
		{{Name: "a"}, {Name: "b"}},
	} {
		d := SourceDigest(s)
		require.False(t, seen[d])
		seen[d] = true
	}
}

// TestReadAllocatesByInput: numbers in the input that promise more than there is
// cost nothing.
func TestReadAllocatesByInput(t *testing.T) {
	m := Meta{Compiler: "c", Policy: "p"}
	m.Digest = SourceDigest(nil)
	raw, err := encodeMeta(&m)
	require.NoError(t, err)
	at := metaHeaderSize + 2 + 2 + 32 + 2 // number of rules
	require.Zero(t, raw[at])
	bad := append(bytes.Clone(raw[:at]), binary.AppendUvarint(nil, MaxRules)...)
	allocated := testing.AllocsPerRun(10, func() {
		_, err := decodeMeta(bad)
		require.ErrorIs(t, err, ErrTruncated)
	})
	require.Less(t, allocated, 60.0)
}

func FuzzRead(f *testing.F) {
	raw, err := Write(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Read(bytes.NewReader(b))
		if err != nil {
			requireReadError(t, err)
			return
		}
		again, err := encodeMeta(m)
		require.NoError(t, err)
		section, err := findSection(bytes.NewReader(b), SectionName)
		require.NoError(t, err)
		require.Equal(t, section, again)
	})
}

func FuzzReadMeta(f *testing.F) {
	m := sampleMeta()
	raw, err := encodeMeta(&m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			requireReadError(t, err)
			return
		}
		again, err := encodeMeta(m)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}
