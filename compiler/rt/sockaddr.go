package rt

import (
	"fmt"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// What rt_sockaddr_HOOK leaves in its 32 bytes of result.
const (
	addrKind = 0 // addrX
	addrPort = 8
	addrHigh = 16 // of an IPv6 address, as a number
	addrLow  = 24 // of an IPv6 address, or an IPv4 address, as a number
	addrSize = 32

	addrNone       = 0
	addrV4         = 4
	addrV6         = 6
	addrUnresolved = 1
)

// Socket families (include/linux/socket.h) and sockaddr sizes (include/uapi/linux/in.h, in6.h).
const (
	afUnspec, afInet, afInet6, afSMC = 0, 2, 10, 43

	sockaddrInBytes  = 16
	sockaddrIn6Bytes = 24 // SIN6_LEN_RFC2133, without the scope id: what the kernel demands
)

func sockaddrFunc(h *hook.Hook) string { return "rt_sockaddr_" + h.Name }

// sockaddr gives void rt_sockaddr_HOOK(ctx, result), which decodes the address
// and port that the call is about.
//
// bind and connect pass the caller's sockaddr, of which the kernel has copied
// addrlen bytes (net/socket.c, move_addr_to_kernel): nothing behind them is
// looked at. How the kernel will read the bytes depends on the sockaddr's family
// and the socket's:
//
//   - AF_INET: IPv4. AF_INET6: IPv6, or IPv4 if mapped; but an AF_INET socket
//     takes no IPv6 address, except that a raw one binds to whatever bytes stand
//     where an IPv4 address has them (net/ipv4/raw.c, raw_bind): unresolved.
//   - AF_UNSPEC: connect dissolves the association: no address. bind of an IPv4
//     socket takes it for AF_INET (net/ipv4/af_inet.c, __inet_bind).
//   - Another family: no address, on a socket of such a family; on an IP
//     socket it is unresolved, for the reason of raw sockets.
//   - Fewer bytes than the family has: unresolved; the kernel refuses them.
//
// listen is about the socket's local address and port.
func sockaddr(h *hook.Hook) ([]object.Func, error) {
	r := begin(sockaddrFunc(h), typeU32, "address at "+h.Name, paramCtx, param("result", typePtr))
	none, unresolved := r.NewLabel(), r.NewLabel()
	r.Move(emit.R6, emit.R1)
	r.Move(emit.R7, emit.R2)
	for off := 0; off < addrSize; off += 8 {
		r.StoreImm(emit.DW, emit.R7, off, 0)
	}
	switch h.Name {
	case "socket_bind", "socket_connect":
		r.decodeSockaddr(h.Name == "socket_bind", none, unresolved)
	case "socket_listen":
		r.decodeSock(none, unresolved)
	default:
		return nil, fmt.Errorf("hook %s has no socket address", h.Name)
	}
	r.Bind(unresolved)
	r.StoreImm(emit.DW, emit.R7, addrKind, addrUnresolved)
	r.returns(none, 0)
	f, err := r.Build()
	return []object.Func{f}, err
}

// loadSock sets R8 to the struct sock of the socket argument, or goes to missing.
func (r *routine) loadSock(missing emit.Label) {
	r.loadArg(emit.R8, emit.R6, 0)
	r.LoadField(emit.DW, emit.R8, emit.R8, emit.Field("socket", "sk"))
	r.JumpImm(emit.JEq, emit.R8, 0, missing)
}

func (r *routine) decodeSockaddr(bind bool, none, unresolved emit.Label) {
	const copied = -32 // stack: 24 bytes of the sockaddr
	v4, v6, unspec, other := r.NewLabel(), r.NewLabel(), r.NewLabel(), r.NewLabel()
	r.loadSock(unresolved)
	r.LoadField(emit.H, emit.R8, emit.R8, emit.Field("sock", "__sk_common", "skc_family"))
	r.loadArg(emit.R9, emit.R6, 2)
	r.OpImm(emit.Lsh, emit.R9, 32)
	r.OpImm(emit.Arsh, emit.R9, 32)
	r.JumpImm(emit.JSLt, emit.R9, 2, unresolved)
	r.loadArg(emit.R6, emit.R6, 1)
	r.Load(emit.H, emit.R1, emit.R6, 0)
	r.JumpImm(emit.JEq, emit.R1, afInet, v4)
	r.JumpImm(emit.JEq, emit.R1, afInet6, v6)
	r.JumpImm(emit.JEq, emit.R1, afUnspec, unspec)
	r.Bind(other)
	r.JumpImm(emit.JEq, emit.R8, afInet, unresolved)
	r.JumpImm(emit.JEq, emit.R8, afInet6, unresolved)
	r.Goto(none)

	r.Bind(unspec)
	if bind {
		for _, family := range []int64{afInet, afInet6, afSMC} {
			r.JumpImm(emit.JEq, emit.R8, family, v4)
		}
	}
	r.Goto(none)

	read := func(n int64) {
		r.JumpImm(emit.JSLt, emit.R9, n, unresolved)
		r.probe(emit.FP, copied, n, emit.R6, nil)
		r.JumpImm(emit.JNe, emit.R0, 0, unresolved)
		r.Load(emit.H, emit.R1, emit.FP, copied+2)
		r.SwapBE(emit.R1, 16)
		r.Store(emit.DW, emit.R7, addrPort, emit.R1)
	}
	r.Bind(v4)
	read(sockaddrInBytes)
	r.Load(emit.W, emit.R1, emit.FP, copied+4)
	r.storeV4(none)

	r.Bind(v6)
	r.JumpImm(emit.JEq, emit.R8, afInet, unresolved)
	read(sockaddrIn6Bytes)
	r.Load(emit.DW, emit.R1, emit.FP, copied+8)
	r.Load(emit.DW, emit.R2, emit.FP, copied+16)
	r.storeV6(none)
}

func (r *routine) decodeSock(none, unresolved emit.Label) {
	v6 := r.NewLabel()
	common := func(members ...string) *object.CoreField {
		return emit.Field("sock", append([]string{"__sk_common"}, members...)...)
	}
	r.loadSock(unresolved)
	r.LoadField(emit.H, emit.R9, emit.R8, common("skc_family"))
	v4 := r.NewLabel()
	r.JumpImm(emit.JEq, emit.R9, afInet, v4)
	r.JumpImm(emit.JNe, emit.R9, afInet6, none)
	r.Bind(v4)
	r.LoadField(emit.H, emit.R1, emit.R8, common("skc_num"))
	r.Store(emit.DW, emit.R7, addrPort, emit.R1)
	r.JumpImm(emit.JEq, emit.R9, afInet6, v6)
	r.LoadField(emit.W, emit.R1, emit.R8, common("skc_rcv_saddr"))
	r.storeV4(none)
	r.Bind(v6)
	addr := common("skc_v6_rcv_saddr")
	r.loadPart(emit.DW, emit.R1, emit.R8, addr, 0)
	r.loadPart(emit.DW, emit.R2, emit.R8, addr, 8)
	r.storeV6(none)
}

// storeV4 puts the IPv4 address in R1, in network order, into the result.
func (r *routine) storeV4(end emit.Label) {
	r.SwapBE(emit.R1, 32)
	r.Store(emit.DW, emit.R7, addrLow, emit.R1)
	r.StoreImm(emit.DW, emit.R7, addrKind, addrV4)
	r.Goto(end)
}

// storeV6 puts the IPv6 address in R1 and R2, in network order, into the result.
// ::ffff:a.b.c.d is the IPv4 address a.b.c.d.
func (r *routine) storeV6(end emit.Label) {
	plain := r.NewLabel()
	r.SwapBE(emit.R1, 64)
	r.SwapBE(emit.R2, 64)
	r.JumpImm(emit.JNe, emit.R1, 0, plain)
	r.Move(emit.R3, emit.R2)
	r.OpImm(emit.Rsh, emit.R3, 32)
	r.JumpImm(emit.JNe, emit.R3, 0xffff, plain)
	r.OpImm(emit.Lsh, emit.R2, 32)
	r.OpImm(emit.Rsh, emit.R2, 32)
	r.Store(emit.DW, emit.R7, addrLow, emit.R2)
	r.StoreImm(emit.DW, emit.R7, addrKind, addrV4)
	r.Goto(end)
	r.Bind(plain)
	r.Store(emit.DW, emit.R7, addrHigh, emit.R1)
	r.Store(emit.DW, emit.R7, addrLow, emit.R2)
	r.StoreImm(emit.DW, emit.R7, addrKind, addrV6)
	r.Goto(end)
}

// callSockaddr decodes the address of hook h with the context in R6 into the
// stack at off, and goes to unresolved if there is no telling.
func (r *routine) callSockaddr(h *hook.Hook, off int, unresolved emit.Label) {
	r.Move(emit.R1, emit.R6)
	r.Move(emit.R2, emit.FP)
	r.OpImm(emit.Add, emit.R2, int64(off))
	r.CallFunc(sockaddrFunc(h))
	r.Load(emit.DW, emit.R1, emit.FP, off+addrKind)
	r.JumpImm(emit.JEq, emit.R1, addrUnresolved, unresolved)
}

// port is the computed value of the port; 0 if unresolved.
func (r *routine) port(h *hook.Hook, zero emit.Label) ([]object.Func, error) {
	fns, err := sockaddr(h)
	if err != nil {
		return nil, err
	}
	r.callSockaddr(h, -addrSize, zero)
	r.Load(emit.DW, emit.R0, emit.FP, addrPort-addrSize)
	return fns, nil
}
