package object

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// maxSectionNames bounds the section name table that Read loads.
const maxSectionNames = 1 << 20

// Read returns the Meta of an object file. r may hold anything.
//
// The error wraps ErrNotObject, ErrNoMeta, ErrVersion, ErrTruncated, ErrLimit,
// ErrCorrupt or ErrDigest, or is the error of r. Memory stays below a small
// multiple of MaxMetaBytes.
//
// The ELF headers are read here rather than by debug/elf, which has panicked and
// allocated on hostile input, and which unpacks compressed sections unasked.
func Read(r io.ReaderAt) (*Meta, error) {
	section, err := findSection(r, SectionName)
	if err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	m, err := decodeMeta(section)
	if err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	return m, nil
}

// sectionHeader is the part of an Elf64_Shdr that matters here.
type sectionHeader struct {
	name   uint32
	typ    elf.SectionType
	flags  elf.SectionFlag
	offset uint64
	size   uint64
}

// findSection returns the contents of the one section of that name.
func findSection(r io.ReaderAt, name string) ([]byte, error) {
	le := binary.LittleEndian
	h, err := readAt(r, 0, elfHeaderSize)
	if errors.Is(err, ErrTruncated) {
		return nil, fmt.Errorf("%w: %w", ErrNotObject, err)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case string(h[:4]) != elf.ELFMAG,
		elf.Class(h[4]) != elf.ELFCLASS64,
		elf.Data(h[5]) != elf.ELFDATA2LSB,
		elf.Version(h[6]) != elf.EV_CURRENT,
		elf.Type(le.Uint16(h[16:])) != elf.ET_REL,
		elf.Machine(le.Uint16(h[18:])) != elf.EM_BPF,
		le.Uint16(h[58:]) != sectionHeaderSize:
		return nil, ErrNotObject
	}
	shoff, shnum, shstrndx := le.Uint64(h[40:]), le.Uint16(h[60:]), le.Uint16(h[62:])
	if shnum == 0 || shstrndx == 0 || shstrndx >= shnum {
		return nil, fmt.Errorf("%w: no section table", ErrNotObject)
	}
	table, err := readAt(r, shoff, uint64(shnum)*sectionHeaderSize)
	if err != nil {
		return nil, fmt.Errorf("section table: %w", err)
	}
	header := func(i uint16) sectionHeader {
		b := table[int(i)*sectionHeaderSize:]
		return sectionHeader{
			name: le.Uint32(b), typ: elf.SectionType(le.Uint32(b[4:])), flags: elf.SectionFlag(le.Uint64(b[8:])),
			offset: le.Uint64(b[24:]), size: le.Uint64(b[32:]),
		}
	}
	strs := header(shstrndx)
	if strs.typ != elf.SHT_STRTAB {
		return nil, fmt.Errorf("%w: section names are no string table", ErrNotObject)
	}
	if strs.size > maxSectionNames {
		return nil, fmt.Errorf("section names: %w", ErrLimit)
	}
	names, err := readAt(r, strs.offset, strs.size)
	if err != nil {
		return nil, fmt.Errorf("section names: %w", err)
	}
	want := append([]byte(name), 0)
	var found *sectionHeader
	for i := uint16(1); i < shnum; i++ {
		s := header(i)
		if uint64(s.name) >= uint64(len(names)) || !bytes.HasPrefix(names[s.name:], want) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: it exists twice", ErrCorrupt)
		}
		found = &s
	}
	if found == nil {
		return nil, ErrNoMeta
	}
	if found.typ != elf.SHT_PROGBITS || found.flags&elf.SHF_COMPRESSED != 0 {
		return nil, fmt.Errorf("%w: section of type %s, flags %s", ErrCorrupt, found.typ, found.flags)
	}
	if found.size > MaxMetaBytes {
		return nil, fmt.Errorf("%w: section of %d bytes, at most %d", ErrLimit, found.size, MaxMetaBytes)
	}
	b, err := readAt(r, found.offset, found.size)
	if err != nil {
		return nil, fmt.Errorf("section %s: %w", name, err)
	}
	return b, nil
}

// readAt reads exactly size bytes. The buffer grows with what is really there.
func readAt(r io.ReaderAt, offset, size uint64) ([]byte, error) {
	if offset > math.MaxInt64 || size > math.MaxInt64-offset {
		return nil, ErrTruncated
	}
	b, err := io.ReadAll(io.NewSectionReader(r, int64(offset), int64(size)))
	if err != nil {
		return nil, err
	}
	if uint64(len(b)) < size {
		return nil, ErrTruncated
	}
	return b, nil
}
