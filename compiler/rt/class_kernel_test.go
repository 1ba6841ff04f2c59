//go:build kernel

package rt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// classDriver is a driver that calls classifiers, in order. Paths that they build
// are left in the scratch memory, but it reports none.
type classDriver struct {
	*driver
	tables []object.Table
}

func newClassDriver(t *testing.T, hookName string) *classDriver {
	h := *hookNamed(t, hookName)
	return &classDriver{driver: &driver{hook: &h}}
}

func (d *classDriver) class(t *testing.T, c *ir.Classifier) {
	table := fmt.Sprintf("tab_%s_%d", d.hook.Name, len(d.tables))
	data, err := ClassifierTable(c)
	require.NoError(t, err)
	d.tables = append(d.tables, object.Table{Name: table, Data: data})
	fns, err := Class(d.hook, c, table)
	require.NoError(t, err)
	d.funcs = append(d.funcs, fns...)
	d.calls = append(d.calls, call{ClassFunc(d.hook, c, table), false})
}

func (d *classDriver) computed(t *testing.T, name hook.ComputedName) {
	fns, err := Computed(d.hook, name)
	require.NoError(t, err)
	d.funcs = append(d.funcs, fns...)
	d.calls = append(d.calls, call{ComputedFunc(d.hook, name), false})
}

// startClasses loads and attaches class drivers. Their results carry no paths.
func startClasses(t *testing.T, drivers ...*classDriver) *results {
	var progs []object.Program
	var funcs [][]object.Func
	var tables []object.Table
	var plain []*driver
	for _, d := range drivers {
		progs = append(progs, d.program(t))
		funcs = append(funcs, d.funcs)
		tables = append(tables, d.tables...)
		h := *d.hook
		h.Fields = nil
		plain = append(plain, &driver{hook: &h})
	}
	coll := load(t, file(t, kernelConfig(t), tables, progs, funcs...))
	attach(t, coll)
	return newResults(t, coll, plain...)
}

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// randomPattern makes a glob over few names, so that patterns have much in common.
func randomPattern(rng *rand.Rand) match.Pattern {
	names := []string{"usr", "bin", "lib", "a", "ab", "abc", "longer-name-than-eight", "x.so", "\xff\n"}
	var b strings.Builder
	kind := []match.PatternKind{match.Glob, match.Glob, match.Glob, match.Literal, match.Under}[rng.IntN(5)]
	for range 1 + rng.IntN(5) {
		b.WriteByte('/')
		name := names[rng.IntN(len(names))]
		switch r := rng.IntN(8); {
		case kind != match.Glob || r > 4 || r == 1 && rng.IntN(8) > 0:
			b.WriteString(name)
		case r == 0:
			b.WriteString("*")
		case r == 1:
			b.WriteString("**")
		case r == 2:
			b.WriteString(name[:1] + "*")
		case r == 3:
			b.WriteString("[a-l]?{" + name + ",so,}")
		case r == 4:
			b.WriteString("*" + name)
		}
	}
	return match.Pattern{Kind: kind, Text: b.String()}
}

// randomPath makes a path that the patterns are likely to have an opinion on.
func randomPath(rng *rand.Rand, patterns []match.Pattern) string {
	text := patterns[rng.IntN(len(patterns))].Text
	for range rng.IntN(3) {
		text += patterns[rng.IntN(len(patterns))].Text
	}
	if rng.IntN(3) > 0 { // stand-ins for wildcards
		text = strings.NewReplacer("**", "q/r", "*", "zz", "[a-l]", "c", "?", "d", "{", "", "}", "", ",", "").Replace(text)
	}
	b := []byte(text)
	for range rng.IntN(3) {
		i := rng.IntN(len(b))
		switch rng.IntN(3) {
		case 0:
			b[i] = byte(1 + rng.IntN(255))
		case 1:
			b = append(b[:i], b[min(len(b), i+1+rng.IntN(3)):]...)
		case 2:
			b = append(b[:i:i], append([]byte("/usr"), b[i:]...)...)
		}
		if len(b) == 0 {
			b = []byte("/")
		}
	}
	if rng.IntN(20) == 0 {
		b = append(b, strings.Repeat("/abc", 1+rng.IntN(1020))...)
	}
	return string(b[:min(len(b), match.MaxPath)])
}

// The automata's classes in the kernel are those of Automaton.Match, on whatever
// strings symlink(2) takes.
func TestAutomata(t *testing.T) {
	rng := seeded(t)
	d := newClassDriver(t, "path_symlink")
	var automata []*match.Automaton
	var all []match.Pattern
	for i := range maxValues {
		var atoms []match.Atom
		for range 1 + rng.IntN(4+20*i) {
			var a match.Atom
			for range 1 + rng.IntN(3) {
				p := randomPattern(rng)
				a.Patterns = append(a.Patterns, p)
				all = append(all, p)
			}
			atoms = append(atoms, a)
		}
		switch i {
		case 0: // always one class
			atoms = []match.Atom{{Patterns: []match.Pattern{{Kind: match.Glob, Text: "**"}}}}
		case 1: // scans
			atoms = []match.Atom{{Patterns: []match.Pattern{{Kind: match.Glob, Text: "/usr/**/x.so"}, {Kind: match.Glob, Text: "**a"}}}}
		}
		a, err := match.Compile(atoms, match.Options{MaxStates: 5000})
		for errors.As(err, new(*match.LimitError)) { // too much in common
			atoms = atoms[len(atoms)/2:]
			a, err = match.Compile(atoms, match.Options{MaxStates: 5000})
		}
		require.NoError(t, err)
		automata = append(automata, a)
		d.class(t, &ir.Classifier{Kind: ir.PathClass, Field: "target", Classes: len(a.Classes), Data: a})
	}
	t.Logf("compiled")
	r := startClasses(t, d)
	dir := t.TempDir()
	classes := make([]map[int]int, len(automata))
	for i := range classes {
		classes[i] = map[int]int{}
	}
	for range 1500 {
		path := randomPath(rng, all)
		res := r.one("path_symlink", func() {
			if unix.Symlink(path, dir+"/l") == nil {
				unix.Unlink(dir + "/l")
			}
		})
		for i, a := range automata {
			want := a.Match([]byte(path))
			require.EqualValues(t, want, res.values[i], "automaton %d path %q", i, path)
			classes[i][want]++
		}
	}
	for i, a := range automata {
		t.Logf("automaton %d: %d bytes, %d of %d classes seen", i, len(a.Table), len(classes[i]), len(a.Classes))
	}
}

// Strings: the name of the current task and that of a target.
func TestComm(t *testing.T) {
	rng := seeded(t)
	names := []string{"", "a", "nginx", "nginx: worker", "exactly15bytes_", "\xff\n", "php-fpm"}
	a, err := match.Compile([]match.Atom{
		{Patterns: []match.Pattern{{Kind: match.Glob, Text: "nginx*"}}},
		{Patterns: []match.Pattern{{Kind: match.Literal, Text: "exactly15bytes_"}, {Kind: match.Literal, Text: "a"}}},
		{Patterns: []match.Pattern{{Kind: match.Glob, Text: "*p?p*"}, {Kind: match.Glob, Text: "*\xff*"}}},
	}, match.Options{})
	require.NoError(t, err)
	d := newClassDriver(t, "task_kill")
	for _, f := range []string{"comm", "target.comm"} {
		d.class(t, &ir.Classifier{Kind: ir.StringClass, Field: f, Classes: len(a.Classes), Data: a})
	}
	r := startClasses(t, d)
	tids := make(chan int)
	rename := make(chan string)
	go onThread(func() {
		for {
			tids <- unix.Gettid()
			setComm(<-rename)
		}
	})
	onThread(func() {
		for range 200 {
			own, target := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
			<-tids
			rename <- target
			tid := <-tids
			rename <- target
			setComm(own)
			res := r.one("task_kill", func() { require.NoError(t, unix.Tgkill(os.Getpid(), tid, 0)) })
			require.EqualValues(t, a.Match([]byte(own)), res.values[0], "%q", own)
			require.EqualValues(t, a.Match([]byte(target)), res.values[1], "%q", target)
		}
	})
}

func setComm(name string) {
	b := append([]byte(name), 0)
	unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&b[0])), 0, 0, 0)
}

func TestInts(t *testing.T) {
	rng := seeded(t)
	d := newClassDriver(t, "path_chown")
	var tables []*match.IntClasses
	number := func() uint64 {
		if rng.IntN(3) == 0 {
			return rng.Uint64()
		}
		return uint64(rng.Uint32() >> rng.IntN(32))
	}
	for i := range maxValues {
		var sets []match.IntSet
		for range rng.IntN(1 + 6*i*i) {
			lo, hi := number(), number()
			if lo > hi {
				lo, hi = hi, lo
			}
			sets = append(sets, match.IntSet{{Lo: lo, Hi: hi}, {Lo: lo / 3, Hi: lo / 3}})
		}
		c, err := match.Partition(sets)
		require.NoError(t, err)
		tables = append(tables, c)
		d.class(t, &ir.Classifier{Kind: ir.IntClass, Field: []string{"new.uid", "new.gid"}[i%2], Classes: len(c.Classes), Data: c})
	}
	r := startClasses(t, d)
	f := t.TempDir() + "/f"
	require.NoError(t, os.WriteFile(f, nil, 0o600))
	for range 500 {
		var ids [2]uint32
		for i := range ids {
			c := tables[rng.IntN(len(tables))]
			ids[i] = uint32(c.Starts[rng.IntN(len(c.Starts))]) - uint32(rng.IntN(2))
			if ids[i] == 1<<32-1 { // means: leave it
				ids[i]--
			}
		}
		res := r.one("path_chown", func() { require.NoError(t, unix.Chown(f, int(ids[0]), int(ids[1]))) })
		for i, c := range tables {
			require.EqualValues(t, c.Lookup(uint64(ids[i%2])), res.values[i], "table %d of %d keys, %d", i, len(c.Starts), ids[i%2])
		}
	}
}

func raiseLoopback(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	require.NoError(t, err)
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	require.NoError(t, unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req))
}

// sockaddrBytes is a struct sockaddr_in or sockaddr_in6 without scope id.
func sockaddrBytes(a netip.AddrPort) []byte {
	var b []byte
	if a.Addr().Is4() {
		b = binary.LittleEndian.AppendUint16(b, unix.AF_INET)
		b = binary.BigEndian.AppendUint16(b, a.Port())
		return append(append(b, a.Addr().AsSlice()...), make([]byte, 8)...)
	}
	b = binary.LittleEndian.AppendUint16(b, unix.AF_INET6)
	b = binary.BigEndian.AppendUint16(b, a.Port())
	b = append(b, 0, 0, 0, 0)
	return append(b, a.Addr().AsSlice()...)
}

func rawCall(nr uintptr, fd int, addr []byte, n int) error {
	full := make([]byte, 256)
	copy(full, addr)
	_, _, e := unix.Syscall(nr, uintptr(fd), uintptr(unsafe.Pointer(&full[0])), uintptr(n))
	if e != 0 {
		return e
	}
	return nil
}

const unresolvedClass = -1

func TestAddresses(t *testing.T) {
	rng := seeded(t)
	raiseLoopback(t)
	prefix := func(s ...string) (out match.PrefixSet) {
		for _, p := range s {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	sets := []match.PrefixSet{prefix("10.0.0.0/8", "fd00::/8"), prefix("10.1.2.3/32"), prefix("0.0.0.0/0"), prefix("::/0"), prefix("::1/128", "127.0.0.0/8"), prefix("0.0.0.0/32", "::/128")}
	random := func() netip.Addr {
		if rng.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{byte(10 + rng.IntN(2)), byte(rng.IntN(3)), byte(rng.IntN(256)), byte(rng.IntN(256))})
		}
		b := [16]byte{0xfd, byte(rng.IntN(2)), 7: byte(rng.IntN(2)), 8: byte(rng.IntN(3)), 15: byte(rng.IntN(256))}
		return netip.AddrFrom16(b)
	}
	for range 300 {
		a := random()
		sets = append(sets, match.PrefixSet{netip.PrefixFrom(a, rng.IntN(a.BitLen()+1))})
	}
	addrs, err := match.AddrPartition(sets)
	require.NoError(t, err)
	ports, err := match.Partition([]match.IntSet{{{Lo: 80, Hi: 80}, {Lo: 443, Hi: 443}}, {{Lo: 1, Hi: 1023}}, {{Lo: 8000, Hi: 65535}}})
	require.NoError(t, err)
	var drivers []*classDriver
	for _, h := range []string{"socket_bind", "socket_connect", "socket_listen"} {
		d := newClassDriver(t, h)
		d.class(t, &ir.Classifier{Kind: ir.AddrClass, Field: "addr", Classes: len(addrs.Classes), Data: addrs})
		d.class(t, &ir.Classifier{Kind: ir.IntClass, Field: "port", Classes: len(ports.Classes), Data: ports})
		f, err := field(d.hook, "port")
		require.NoError(t, err)
		d.computed(t, f.Read.(hook.Computed).Name)
		drivers = append(drivers, d)
	}
	r := startClasses(t, drivers...)
	socket := func(family, typ int) int {
		protocol := 0
		if family == unix.AF_INET && typ == unix.SOCK_RAW {
			protocol = unix.IPPROTO_UDP
		}
		fd, err := unix.Socket(family, typ, protocol)
		require.NoError(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	// expect checks an event's classes: those of an address, or if it is not valid the two given ones.
	expect := func(res result, what string, a netip.Addr, addrClass, portClass, port int) {
		t.Helper()
		if a.IsValid() {
			addrClass, portClass = addrs.Lookup(a), ports.Lookup(uint64(port))
		}
		if addrClass == unresolvedClass {
			addrClass, portClass = len(addrs.Classes), len(ports.Classes)
		}
		require.Equal(t, [3]int{addrClass, portClass, port}, [3]int{int(res.values[0]), int(res.values[1]), int(res.values[2])}, what)
	}

	udp4, udp6 := socket(unix.AF_INET, unix.SOCK_DGRAM), socket(unix.AF_INET6, unix.SOCK_DGRAM)
	for i := range 1000 {
		a := netip.AddrPortFrom(random(), uint16(rng.Uint32()))
		if i%10 == 0 && a.Addr().Is4() { // IPv4-mapped
			a = netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
		}
		fd := udp6
		if a.Addr().Is4() && rng.IntN(2) == 0 {
			fd = udp4
		}
		nr, name := uintptr(unix.SYS_CONNECT), "socket_connect"
		if i%3 == 0 {
			nr, name = unix.SYS_BIND, "socket_bind"
		}
		b := sockaddrBytes(a)
		res := r.one(name, func() { rawCall(nr, fd, b, len(b)+rng.IntN(30)) })
		expect(res, a.String(), a.Addr().Unmap(), 0, 0, int(a.Port()))
	}

	v4 := sockaddrBytes(netip.MustParseAddrPort("10.1.2.3:443"))
	v6 := sockaddrBytes(netip.MustParseAddrPort("[fd00::1]:443"))
	in4, in6 := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fd00::1")
	as := func(family uint16, b []byte) []byte {
		return append(binary.LittleEndian.AppendUint16(nil, family), b[2:]...)
	}
	raw4, unixSock, netlink := socket(unix.AF_INET, unix.SOCK_RAW), socket(unix.AF_UNIX, unix.SOCK_STREAM), socket(unix.AF_NETLINK, unix.SOCK_RAW)
	for _, c := range []struct {
		what       string
		fd         int
		addr       []byte
		n          int
		bind, conn string
	}{
		{"short v4", udp4, v4, 15, "?", "?"},
		{"just v4", udp4, v4, 16, "4", "4"},
		{"short v6", udp6, v6, 23, "?", "?"},
		{"just v6", udp6, v6, 24, "6", "6"},
		{"v6 on v4", udp4, v6, 28, "?", "?"},
		{"v4 on v6", udp6, v4, 16, "4", "4"},
		{"nothing", udp4, v4, 0, "?", "?"},
		{"a byte", udp4, v4, 1, "?", "?"},
		{"family only", udp4, v4, 2, "?", "?"},
		{"unspec", udp4, as(unix.AF_UNSPEC, v4), 16, "4", "-"},
		{"short unspec", udp4, as(unix.AF_UNSPEC, v4), 2, "?", "-"},
		{"unspec v6", udp6, as(unix.AF_UNSPEC, v4), 16, "4", "-"},
		{"raw with a false family", raw4, as(unix.AF_UNIX, v4), 16, "?", "?"},
		{"raw with v6", raw4, as(unix.AF_INET6, v4), 28, "?", "?"},
		{"raw unspec", raw4, as(unix.AF_UNSPEC, v4), 16, "4", "-"},
		{"raw", raw4, v4, 16, "4", "4"},
		{"unix", unixSock, append([]byte{1, 0}, "/tmp/nowhere"...), 14, "-", "-"},
		{"unix autobind", unixSock, []byte{1, 0}, 2, "-", "-"},
		{"unix with v4", unixSock, v4, 16, "4", "4"},
		{"netlink", netlink, []byte{16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 12, "-", "-"},
		{"full storage", udp4, v4, 128, "4", "4"},
	} {
		for nr, want := range map[uintptr]string{unix.SYS_BIND: c.bind, unix.SYS_CONNECT: c.conn} {
			name := map[uintptr]string{unix.SYS_BIND: "socket_bind", unix.SYS_CONNECT: "socket_connect"}[nr]
			res := r.one(name, func() { rawCall(nr, c.fd, c.addr, c.n) })
			what := name + ": " + c.what
			switch want {
			case "4":
				expect(res, what, in4, 0, 0, 443)
			case "6":
				expect(res, what, in6, 0, 0, 443)
			case "-":
				expect(res, what, netip.Addr{}, 0, 0, 0)
			case "?":
				expect(res, what, netip.Addr{}, unresolvedClass, 0, 0)
			}
		}
	}

	for _, a := range []string{"127.0.0.1:8080", "0.0.0.0:81", "[::1]:443", "[::]:8443", "[::ffff:127.0.0.1]:9000"} {
		ap := netip.MustParseAddrPort(a)
		family := unix.AF_INET6
		if ap.Addr().Is4() {
			family = unix.AF_INET
		}
		fd := socket(family, unix.SOCK_STREAM)
		b := sockaddrBytes(ap)
		require.NoError(t, rawCall(unix.SYS_BIND, fd, b, len(b)), a)
		expect(r.one("socket_listen", func() { require.NoError(t, unix.Listen(fd, 1)) }), a, ap.Addr().Unmap(), 0, 0, int(ap.Port()))
	}
	unbound := socket(unix.AF_INET, unix.SOCK_STREAM)
	expect(r.one("socket_listen", func() { unix.Listen(unbound, 1) }), "unbound", netip.MustParseAddr("0.0.0.0"), 0, 0, 0)
	unixSock = socket(unix.AF_UNIX, unix.SOCK_STREAM)
	require.NoError(t, unix.Bind(unixSock, &unix.SockaddrUnix{Name: t.TempDir() + "/s"}))
	expect(r.one("socket_listen", func() { require.NoError(t, unix.Listen(unixSock, 1)) }), "unix", netip.Addr{}, 0, 0, 0)
}
