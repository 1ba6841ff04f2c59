package match

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// A PrefixSet is a condition on an address: it holds if one of its prefixes
// contains the address. Bits of a prefix behind its length are ignored.
type PrefixSet []netip.Prefix

// AddrClasses classifies IPv4 and IPv6 addresses, by two tables with the layout
// and search of [IntClasses] and common classes.
//
// V4 has keys of 4 bytes: the address as a number, so that 10.0.0.1 is
// 0x0a000001. V6 has keys of 16 bytes: the upper half of the address as a
// number, then the lower half, each stored little-endian; the comparison is
//
//	key.hi < hi || key.hi == hi && key.lo <= lo
//
// The kernel has addresses in network byte order: swap before comparing.
//
// IPv4-mapped IPv6 addresses (::ffff:a.b.c.d) are IPv4 addresses here: a prefix
// within ::ffff:0:0/96 counts as an IPv4 prefix, and whoever runs the tables
// looks such an address up in V4. A shorter IPv6 prefix, ::/0 among them,
// contains no IPv4 address.
type AddrClasses struct {
	V4, V6           []byte // tables
	V4Steps, V6Steps int
	V4Count, V6Count int     // intervals, without the padding
	Classes          [][]int // indexes of the sets that hold, ascending; Classes[0] is empty
}

// AddrPartition classifies all addresses by the sets that hold them. It returns
// an error for an invalid prefix, and if the lists of classes exceed 4 Mi
// members in total.
func AddrPartition(sets []PrefixSet) (*AddrClasses, error) {
	v4, v6 := make([][]span, len(sets)), make([][]span, len(sets))
	for i, set := range sets {
		for _, p := range set {
			if !p.IsValid() {
				return nil, fmt.Errorf("set %d: invalid prefix", i)
			}
			addr, length := p.Addr(), p.Bits()
			if addr.Is4In6() && length >= 96 {
				addr, length = addr.Unmap(), length-96
			}
			if addr.Is4() {
				v4[i] = append(v4[i], prefixSpan(addrKey(addr), 128-32+length))
			} else {
				v6[i] = append(v6[i], prefixSpan(addrKey(addr), length))
			}
		}
	}
	s := newSweeper(len(sets))
	i4, i6 := s.partition(v4), s.partition(v6)
	// What starts at 1<<32 is not an IPv4 address.
	if last := len(i4) - 1; i4[last].start.lo > 1<<32-1 {
		i4 = i4[:last]
	}
	classes, err := s.numberClasses(i4, i6)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	return &AddrClasses{
		V4: encodeSearch(i4, 4, func(table []byte, k key) { le.PutUint32(table, uint32(k.lo)) }),
		V6: encodeSearch(i6, 16, func(table []byte, k key) {
			le.PutUint64(table, k.hi)
			le.PutUint64(table[8:], k.lo)
		}),
		V4Steps: paddedSteps(len(i4)), V6Steps: paddedSteps(len(i6)),
		V4Count: len(i4), V6Count: len(i6),
		Classes: classes,
	}, nil
}

// addrKey returns an address as a number.
func addrKey(a netip.Addr) key {
	if a.Is4() {
		b := a.As4()
		return key{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// prefixSpan returns the keys that share the first length of 128 bits with k.
func prefixSpan(k key, length int) span {
	host := key{^uint64(0), ^uint64(0)} // the bits behind the prefix
	if length >= 64 {
		host = key{0, ^uint64(0) >> (length - 64)} // a shift by 64 gives 0
	} else {
		host.hi >>= length
	}
	return span{key{k.hi &^ host.hi, k.lo &^ host.lo}, key{k.hi | host.hi, k.lo | host.lo}}
}

// Lookup runs the table for an address and returns the index of its class. Zones
// are ignored. The zero Addr has class 0.
func (c *AddrClasses) Lookup(a netip.Addr) int {
	a = a.Unmap()
	switch {
	case a.Is4():
		return c.Lookup4(uint32(addrKey(a).lo))
	case a.Is6():
		k := addrKey(a)
		return c.Lookup6(k.hi, k.lo)
	}
	return 0
}

// Lookup4 runs V4 for an IPv4 address as a number.
func (c *AddrClasses) Lookup4(v uint32) int {
	return search(c.V4, c.V4Steps, 4, func(at []byte) bool {
		return binary.LittleEndian.Uint32(at) <= v
	})
}

// Lookup6 runs V6 for the halves of an IPv6 address as numbers.
func (c *AddrClasses) Lookup6(hi, lo uint64) int {
	return search(c.V6, c.V6Steps, 16, func(at []byte) bool {
		k := key{binary.LittleEndian.Uint64(at), binary.LittleEndian.Uint64(at[8:])}
		return compareKeys(k, key{hi, lo}) <= 0
	})
}
