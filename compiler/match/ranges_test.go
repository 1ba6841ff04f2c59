package match

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func intsHolding(sets []IntSet, v uint64) []int {
	out := []int{}
	for i, s := range sets {
		for _, r := range s {
			if r.Lo <= v && v <= r.Hi {
				out = append(out, i)
				break
			}
		}
	}
	return out
}

func TestPartition(t *testing.T) {
	const top = math.MaxUint64
	for _, sets := range [][]IntSet{
		nil, {{}}, {{{0, top}}}, {{{0, 0}}}, {{{top, top}}}, {{{5, 5}}, {{5, 5}}},
		{{{80, 80}, {443, 443}, {8000, 8099}}, {{0, 1023}}, {{8050, top}}},
		{{{1, 3}, {2, 6}, {7, 9}}, {{4, 4}}}, {{{0, 4}, {5, top}}},
		{{{1, 2}}, {{3, 4}}, {{1, 2}, {3, 4}}},
	} {
		checkInts(t, sets, nil)
	}
	_, err := Partition([]IntSet{{}, {{2, 1}}})
	require.EqualError(t, err, "set 1: range 2..1 is reversed")
}

func checkInts(t *testing.T, sets []IntSet, extra []uint64) {
	t.Helper()
	c, err := Partition(sets)
	require.NoError(t, err)
	require.Len(t, c.Table, 12<<c.Steps)
	require.Zero(t, c.Starts[0])
	require.Empty(t, c.Classes[0])
	require.LessOrEqual(t, len(c.Starts), 1<<c.Steps)
	if len(c.Starts) > 1 {
		require.Greater(t, len(c.Starts), 1<<(c.Steps-1))
	}
	for i := 1; i < len(c.Starts); i++ {
		require.Less(t, c.Starts[i-1], c.Starts[i])
		require.NotEqual(t, c.Class[i-1], c.Class[i])
	}
	probe := append(extra, 0, math.MaxUint64)
	for _, s := range sets {
		for _, r := range s {
			probe = append(probe, r.Lo-1, r.Lo, r.Lo+1, r.Hi-1, r.Hi, r.Hi+1)
		}
	}
	for _, v := range probe {
		require.Equal(t, intsHolding(sets, v), c.Classes[c.Lookup(v)], "%d in %v", v, sets)
	}
}

func TestPartitionRandom(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		pick := func() uint64 {
			if v := r.Uint64N(40); v < 20 {
				return v
			} else {
				return math.MaxUint64 - (v - 20)
			}
		}
		sets := make([]IntSet, r.IntN(6))
		for i := range sets {
			for range r.IntN(4) {
				a, b := pick(), pick()
				sets[i] = append(sets[i], IntRange{min(a, b), max(a, b)})
			}
		}
		checkInts(t, sets, []uint64{10, math.MaxUint64 / 2})
	}
}

func addrsHolding(sets []PrefixSet, a netip.Addr) []int {
	out := []int{}
	for i, s := range sets {
		for _, p := range s {
			if p.Addr().Is4In6() && p.Bits() >= 96 {
				p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
			if p.Contains(a.Unmap()) {
				out = append(out, i)
				break
			}
		}
	}
	return out
}

func prefixes(texts ...string) (s PrefixSet) {
	for _, t := range texts {
		s = append(s, netip.MustParsePrefix(t))
	}
	return s
}

func TestAddrPartition(t *testing.T) {
	sets := []PrefixSet{
		prefixes("10.0.0.0/8", "fd00::/8"), prefixes("10.1.2.3/16"), prefixes("0.0.0.0/0"), prefixes("::/0"),
		prefixes("::ffff:192.168.0.0/112"), prefixes("255.255.255.255/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"),
		{}, prefixes("fe80::1234:5678:9abc:def0/64"), prefixes("fe80::/65"), prefixes("::ffff:0:0/95"), prefixes("::ffff:0.0.0.0/96"),
	}
	c, err := AddrPartition(sets)
	require.NoError(t, err)
	for text, want := range map[string][]int{
		"10.0.0.1": {0, 2, 10}, "10.1.255.255": {0, 1, 2, 10}, "10.2.0.0": {0, 2, 10}, "0.0.0.0": {2, 10}, "255.255.255.255": {2, 5, 10},
		"::ffff:10.1.0.0": {0, 1, 2, 10}, "192.168.7.7": {2, 4, 10}, "::ffff:192.169.0.0": {2, 10},
		"::": {3}, "fd12::1": {0, 3}, "fe80::1": {3, 7, 8}, "fe80::8000:0:0:0": {3, 7}, "fe80:0:0:1::": {3}, "fe80::1%eth0": {3, 7, 8},
		"::fffe:0:1": {3, 9}, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": {3, 5}, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe": {3},
	} {
		a := netip.MustParseAddr(text)
		require.Equal(t, want, c.Classes[c.Lookup(a)], text)
		require.Equal(t, want, addrsHolding(sets, a.WithZone("")), text)
	}
	require.Zero(t, c.Lookup(netip.Addr{}))
	require.Len(t, c.V4, 8<<c.V4Steps)
	require.Len(t, c.V6, 20<<c.V6Steps)
	require.Equal(t, uint32(0), binary.LittleEndian.Uint32(c.V4))

	_, err = AddrPartition([]PrefixSet{{netip.Prefix{}}})
	require.EqualError(t, err, "set 0: invalid prefix")
	c, err = AddrPartition(nil)
	require.NoError(t, err)
	require.Zero(t, c.Lookup(netip.MustParseAddr("1.2.3.4")))
	require.Zero(t, c.Lookup(netip.MustParseAddr("::1")))
}

func randomAddr(r *rand.Rand) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = []byte{0, 0, 1, 128, 255}[r.IntN(5)]
	}
	switch r.IntN(4) {
	case 0:
		copy(b[:], make([]byte, 10))
		b[10], b[11] = 255, 255
	case 1, 2:
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

func TestAddrPartitionRandom(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 4))
		sets := make([]PrefixSet, r.IntN(6))
		for i := range sets {
			for range r.IntN(4) {
				a := randomAddr(r)
				sets[i] = append(sets[i], netip.PrefixFrom(a, r.IntN(a.BitLen()+1)))
			}
		}
		c, err := AddrPartition(sets)
		require.NoError(t, err)
		for range 60 {
			a := randomAddr(r)
			require.Equal(t, addrsHolding(sets, a), c.Classes[c.Lookup(a)], "seed %d: %v in %v", seed, a, sets)
		}
	}
}

func manyPrefixes(n int) (sets []PrefixSet) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range n {
		var b [16]byte
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		if i%2 == 0 {
			sets = append(sets, PrefixSet{netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), 8+r.IntN(25))})
		} else {
			sets = append(sets, PrefixSet{netip.PrefixFrom(netip.AddrFrom16(b), 16+r.IntN(113))})
		}
	}
	return sets
}

func TestRangeScale(t *testing.T) {
	sets := manyPrefixes(10000)
	began := time.Now()
	c, err := AddrPartition(sets)
	took := time.Since(began)
	require.NoError(t, err)
	t.Logf("10k CIDRs: %v, v4 %d intervals %d bytes, v6 %d intervals %d bytes, %d classes", took, c.V4Count, len(c.V4), c.V6Count, len(c.V6), len(c.Classes))
	require.Less(t, took, time.Second) // generous: the machine is shared
	for _, s := range sets[:300] {
		a := s[0].Masked().Addr()
		require.Equal(t, addrsHolding(sets, a), c.Classes[c.Lookup(a)])
	}
	again, err := AddrPartition(sets)
	require.NoError(t, err)
	require.Equal(t, c, again)
}

// TestClassLimit nests ranges so that the lists of classes would need gigabytes.
func TestClassLimit(t *testing.T) {
	var sets []IntSet
	for i := range uint64(20000) {
		sets = append(sets, IntSet{{i, 1<<32 - i}})
	}
	began := time.Now()
	_, err := Partition(sets)
	require.ErrorContains(t, err, "sets overlap in too many ways")
	require.Less(t, time.Since(began), 3*time.Second)
}

func BenchmarkAddrPartition(b *testing.B) {
	sets := manyPrefixes(10000)
	for b.Loop() {
		if _, err := AddrPartition(sets); err != nil {
			b.Fatal(err)
		}
	}
}

func ExamplePartition() {
	web := IntSet{{80, 80}, {443, 443}, {8000, 8099}}
	low := IntSet{{0, 1023}}
	c, _ := Partition([]IntSet{web, low})
	fmt.Println(c.Classes, c.Starts, c.Class, c.Classes[c.Lookup(443)])
	// Output: [[] [0] [0 1] [1]] [0 80 81 443 444 1024 8000 8100] [3 2 3 2 3 0 1 0] [0 1]
}
