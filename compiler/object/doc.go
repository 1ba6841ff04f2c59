// Package object is the file format of a compiled policy: a standard
// relocatable eBPF ELF (EM_BPF, little endian, 64 bit) that the SNAPPY loader,
// libbpf, bpftool, readelf and llvm-objdump all read.
//
// Input of [Write]: a [File], plain data without any ELF knowledge: functions
// as instruction lists whose jumps are resolved, the maps, read-only tables and
// kernel functions that they refer to by name, the kernel structures whose
// fields they read (relocated by CO-RE when the program is loaded), the source
// line of each instruction, and the [Meta] that describes the policy.
// Output: the bytes of the file. Equal input gives equal bytes.
//
// Input of [Read]: any bytes, however hostile. Output: the checked Meta, or an
// error that wraps one of the Err values of this package. Read never panics and
// its memory is bounded by the limits below. It does not look at the programs:
// whoever wants to load those hands the file to an eBPF loader.
//
// The layout of the file, section by section, is described in docs/object.md.
package object
