package attempt

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is the address of an attempt as the kernel takes it, and what a
// policy sees of it.
func (a Attempt) sockaddr() (raw []byte, addr, port Value, err error) {
	ip, err := netip.ParseAddr(a.Addr)
	if err != nil {
		return nil, addr, port, err
	}
	if a.Family == unix.AF_INET6 {
		raw = make([]byte, unix.SizeofSockaddrInet6)
		b := ip.As16()
		copy(raw[8:], b[:])
	} else {
		raw = make([]byte, unix.SizeofSockaddrInet4)
		b := ip.As4()
		copy(raw[4:], b[:])
	}
	binary.NativeEndian.PutUint16(raw, uint16(a.Family))
	binary.BigEndian.PutUint16(raw[2:], uint16(a.Port))
	addr, port = address(ip.Unmap()), num(a.Port)
	switch a.Layout {
	case LayoutShort:
		return raw[:6], unresolved, unresolved, nil
	case LayoutUnspec:
		binary.NativeEndian.PutUint16(raw, unix.AF_UNSPEC)
		// bind(2) takes it for AF_INET, connect(2) dissolves the association.
		if a.Op == "connect" {
			addr, port = address(netip.Addr{}), num(0)
		} else if a.Family == unix.AF_INET6 {
			addr = address(netip.AddrFrom4([4]byte(raw[4:8])))
		}
	}
	return raw, addr, port, nil
}

func (d *doer) socket(a Attempt, o *Outcome) (int, error) {
	o.saw("net.socket", map[string]Value{"family": num(a.Family), "type": num(a.Type), "protocol": num(a.Proto)})
	if a.Type == unix.SOCK_RAW && (a.Family == unix.AF_INET || a.Family == unix.AF_INET6) {
		d.asks(o, unix.CAP_NET_RAW, unix.EPERM)
	}
	return unix.Socket(a.Family, a.Type|unix.SOCK_CLOEXEC, a.Proto)
}

func (d *doer) socketOnly(a Attempt, o *Outcome) error {
	fd, err := d.socket(a, o)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// withSocket makes a socket and gives it with its fields and the address.
func (d *doer) withSocket(a Attempt, o *Outcome, do func(fd int, raw []byte, f map[string]Value) error) error {
	raw, addr, port, err := a.sockaddr()
	if err != nil {
		return err
	}
	fd, err := d.socket(a, o)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	protocol := unix.IPPROTO_TCP
	if a.Type == unix.SOCK_DGRAM {
		protocol = unix.IPPROTO_UDP
	}
	return do(fd, raw, map[string]Value{"family": num(a.Family), "type": num(a.Type), "protocol": num(protocol), "addr": addr, "port": port})
}

func call(trap uintptr, fd int, raw []byte) error {
	if _, _, e := unix.Syscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&raw[0])), uintptr(len(raw))); e != 0 {
		return e
	}
	return nil
}

// bindTo binds. A port below 1024 takes a capability; for IPv4 the address is
// looked at before (net/ipv4/af_inet.c, net/ipv6/af_inet6.c).
func (d *doer) bindTo(a Attempt, o *Outcome, fd int, raw []byte, f map[string]Value) error {
	o.saw("net.bind", f)
	ip := netip.MustParseAddr(a.Addr)
	here := a.Family == unix.AF_INET6 || ip.IsLoopback() || ip.IsUnspecified()
	if a.Layout == "" && here && a.Port > 0 && a.Port < 1024 {
		d.asks(o, unix.CAP_NET_BIND_SERVICE, unix.EACCES)
	}
	return call(unix.SYS_BIND, fd, raw)
}

// bindPath binds a unix socket to a name, which makes a socket file.
func (d *doer) bindPath(a Attempt, o *Outcome) error {
	a.Family = unix.AF_UNIX
	fd, err := d.socket(a, o)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	o.saw("net.bind", map[string]Value{"family": num(a.Family), "type": num(a.Type), "protocol": num(0), "addr": address(netip.Addr{}), "port": num(0)})
	if present(a.Path) == nil {
		o.saw("file.mknod", map[string]Value{"path": d.name(a, a.Path, false), "mode": num(unix.S_IFSOCK | 0o777)})
	}
	return unix.Bind(fd, &unix.SockaddrUnix{Name: a.Path})
}

func (d *doer) bind(a Attempt, o *Outcome) error {
	return d.withSocket(a, o, func(fd int, raw []byte, f map[string]Value) error { return d.bindTo(a, o, fd, raw, f) })
}

func (d *doer) connect(a Attempt, o *Outcome) error {
	return d.withSocket(a, o, func(fd int, raw []byte, f map[string]Value) error {
		o.saw("net.connect", f)
		return call(unix.SYS_CONNECT, fd, raw)
	})
}

// listen binds first, unless the attempt has no address.
func (d *doer) listen(a Attempt, o *Outcome) error {
	unbound := a.Addr == ""
	if unbound {
		a.Addr = map[int]string{unix.AF_INET: "0.0.0.0", unix.AF_INET6: "::"}[a.Family]
	}
	return d.withSocket(a, o, func(fd int, raw []byte, f map[string]Value) error {
		if !unbound {
			if err := d.bindTo(a, o, fd, raw, f); err != nil {
				return err
			}
		}
		bound := map[string]Value{}
		for name, v := range f {
			bound[name] = v
		}
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			bound["addr"], bound["port"] = address(netip.AddrFrom4(sa.Addr)), num(sa.Port)
		case *unix.SockaddrInet6:
			bound["addr"], bound["port"] = address(netip.AddrFrom16(sa.Addr).Unmap()), num(sa.Port)
		}
		o.saw("net.listen", bound)
		return unix.Listen(fd, 1)
	})
}
