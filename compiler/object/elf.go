package object

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math"
)

// Relocation types of BPF (Documentation/bpf/llvm_reloc.rst).
const (
	relocLddw = 1  // R_BPF_64_64: the 64-bit immediate of a load
	relocCall = 10 // R_BPF_64_32: the 32-bit immediate of a call
)

const (
	elfHeaderSize     = 64
	sectionHeaderSize = 64
	symbolSize        = 24
	relocSize         = 16
)

// sectionID is a section header index; 0 is the undefined section.
type sectionID uint16

// symbolID names a symbol before the table's final order is known.
type symbolID int

type elfSection struct {
	name   string
	typ    elf.SectionType
	flags  elf.SectionFlag
	align  uint64
	data   []byte
	link   uint32
	info   uint32
	entry  uint64
	relocs []elfReloc
}

type elfSymbol struct {
	name    string
	bind    elf.SymBind
	typ     elf.SymType
	section sectionID
	value   uint64
	size    uint64
}

type elfReloc struct {
	offset uint64
	typ    uint32
	symbol symbolID
}

// elfFile collects the parts of a relocatable file and lays them out.
type elfFile struct {
	sections []*elfSection
	symbols  []elfSymbol
}

func newELF() *elfFile {
	return &elfFile{sections: []*elfSection{{}}}
}

func (f *elfFile) add(s elfSection) sectionID {
	f.sections = append(f.sections, &s)
	return sectionID(len(f.sections) - 1)
}

func (f *elfFile) symbol(s elfSymbol) symbolID {
	f.symbols = append(f.symbols, s)
	return symbolID(len(f.symbols) - 1)
}

// relocate adds a relocation; offsets within a section must ascend.
func (f *elfFile) relocate(s sectionID, r elfReloc) {
	f.sections[s].relocs = append(f.sections[s].relocs, r)
}

// bytes finishes the file: relocation sections, symbol and string tables, headers.
func (f *elfFile) bytes() ([]byte, error) {
	// ELF wants local symbols first, and sh_info to be the first other one.
	final := make([]uint32, len(f.symbols))
	locals := uint32(1)
	symtab, strtab := make([]byte, symbolSize), []byte{0}
	for _, local := range []bool{true, false} {
		for i, s := range f.symbols {
			if (s.bind == elf.STB_LOCAL) != local {
				continue
			}
			final[i] = uint32(len(symtab) / symbolSize)
			if local {
				locals++
			}
			name := uint32(0)
			if s.name != "" {
				name = uint32(len(strtab))
				strtab = append(append(strtab, s.name...), 0)
			}
			symtab = binary.LittleEndian.AppendUint32(symtab, name)
			symtab = append(symtab, elf.ST_INFO(s.bind, s.typ), byte(elf.STV_DEFAULT))
			symtab = binary.LittleEndian.AppendUint16(symtab, uint16(s.section))
			symtab = binary.LittleEndian.AppendUint64(symtab, s.value)
			symtab = binary.LittleEndian.AppendUint64(symtab, s.size)
		}
	}
	progbits := len(f.sections)
	symtabID := uint32(progbits)
	for i := 1; i < progbits; i++ {
		if len(f.sections[i].relocs) > 0 {
			symtabID++
		}
	}
	for i := 1; i < progbits; i++ {
		s := f.sections[i]
		if len(s.relocs) == 0 {
			continue
		}
		var rel []byte
		for _, r := range s.relocs {
			rel = binary.LittleEndian.AppendUint64(rel, r.offset)
			rel = binary.LittleEndian.AppendUint64(rel, elf.R_INFO(final[r.symbol], r.typ))
		}
		f.add(elfSection{
			name: ".rel" + s.name, typ: elf.SHT_REL, flags: elf.SHF_INFO_LINK, align: 8,
			data: rel, link: symtabID, info: uint32(i), entry: relocSize,
		})
	}
	f.add(elfSection{
		name: ".symtab", typ: elf.SHT_SYMTAB, align: 8,
		data: symtab, link: symtabID + 1, info: locals, entry: symbolSize,
	})
	f.add(elfSection{name: ".strtab", typ: elf.SHT_STRTAB, align: 1, data: strtab})
	shstr := []byte{0}
	names := make([]uint32, len(f.sections)+1)
	f.add(elfSection{name: ".shstrtab", typ: elf.SHT_STRTAB, align: 1})
	for i, s := range f.sections[1:] {
		names[i+1] = uint32(len(shstr))
		shstr = append(append(shstr, s.name...), 0)
	}
	f.sections[len(f.sections)-1].data = shstr
	if len(f.sections) >= int(elf.SHN_LORESERVE) {
		return nil, fmt.Errorf("the file has %d sections, more than an ELF header counts", len(f.sections))
	}
	return f.layOut(names)
}

// layOut places the sections one after the other, headers last.
func (f *elfFile) layOut(names []uint32) ([]byte, error) {
	out := make([]byte, elfHeaderSize)
	headers := make([]byte, 0, len(f.sections)*sectionHeaderSize)
	for i, s := range f.sections {
		off := uint64(0)
		if i > 0 {
			if s.align > 1 {
				out = append(out, make([]byte, alignUp(uint64(len(out)), s.align)-uint64(len(out)))...)
			}
			off = uint64(len(out))
			out = append(out, s.data...)
		}
		headers = binary.LittleEndian.AppendUint32(headers, names[i])
		headers = binary.LittleEndian.AppendUint32(headers, uint32(s.typ))
		headers = binary.LittleEndian.AppendUint64(headers, uint64(s.flags))
		headers = binary.LittleEndian.AppendUint64(headers, 0)
		headers = binary.LittleEndian.AppendUint64(headers, off)
		headers = binary.LittleEndian.AppendUint64(headers, uint64(len(s.data)))
		headers = binary.LittleEndian.AppendUint32(headers, s.link)
		headers = binary.LittleEndian.AppendUint32(headers, s.info)
		headers = binary.LittleEndian.AppendUint64(headers, s.align)
		headers = binary.LittleEndian.AppendUint64(headers, s.entry)
	}
	out = append(out, make([]byte, alignUp(uint64(len(out)), 8)-uint64(len(out)))...)
	shoff := uint64(len(out))
	if shoff > math.MaxInt32 {
		return nil, fmt.Errorf("the file has %d bytes, more than 2 GiB", shoff)
	}
	out = append(out, headers...)

	h := append(out[:0], 0x7f, 'E', 'L', 'F',
		byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT), byte(elf.ELFOSABI_NONE),
		0, 0, 0, 0, 0, 0, 0, 0)
	h = binary.LittleEndian.AppendUint16(h, uint16(elf.ET_REL))
	h = binary.LittleEndian.AppendUint16(h, uint16(elf.EM_BPF))
	h = binary.LittleEndian.AppendUint32(h, uint32(elf.EV_CURRENT))
	h = binary.LittleEndian.AppendUint64(h, 0) // entry
	h = binary.LittleEndian.AppendUint64(h, 0) // program headers
	h = binary.LittleEndian.AppendUint64(h, shoff)
	h = binary.LittleEndian.AppendUint32(h, 0) // flags
	for _, v := range []uint16{elfHeaderSize, 0, 0, sectionHeaderSize, uint16(len(f.sections)), uint16(len(f.sections) - 1)} {
		h = binary.LittleEndian.AppendUint16(h, v)
	}
	return out, nil
}
