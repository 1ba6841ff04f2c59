//go:build linux

// Command init is the first program of the rig's virtual machines. It makes a
// small Linux system out of the initramfs, runs the payloads of the plan in
// /rig/plan.json one after the other, sends their output and exit codes over
// the second serial port (see package guest), and powers the machine off.
//
// It imports the standard library and package guest only.
package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"github.com/snappy-policy/snappy/internal/vmtest/guest"
)

func main() {
	code := guest.ExitRig
	port, err := openPort()
	if err != nil {
		console("result port: %v", err)
		powerOff()
	}
	w := guest.NewWriter(port)
	if err := setUp(w, &code); err != nil {
		w.Log("init: %v", err)
	}
	w.Trailer(code)
	drain(port)
	powerOff()
}

// setUp follows the plan and leaves the exit code of the run in *code.
func setUp(w *guest.Writer, code *int) error {
	data, err := os.ReadFile(guest.PlanPath)
	if err != nil {
		return err
	}
	plan, err := guest.ParsePlan(data)
	if err != nil {
		return err
	}
	if plan.TmpfsRoot {
		if err := moveRoot(); err != nil {
			return fmt.Errorf("tmpfs root: %w", err)
		}
	}
	if err := mountAll(); err != nil {
		return err
	}
	if err := writeEtc(plan.Hostname); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	for _, m := range plan.Modules {
		if err := loadModule(m); err != nil {
			return fmt.Errorf("module %s: %w", m, err)
		}
	}
	base, err := takeBaseline()
	if err != nil {
		return err
	}
	*code = 0
	for i, p := range plan.Payloads {
		w.Start(i)
		end := run(w, i, p)
		if err := base.restore(); err != nil {
			w.Log("after payload %d: %v", i, err)
			if end.Code == 0 {
				end = guest.End{Code: guest.ExitRig, Elapsed: end.Elapsed, Reason: err.Error()}
			}
		}
		w.End(i, end)
		if *code == 0 {
			*code = end.Code
		}
	}
	return nil
}

// console prints to the kernel's console, for failures before there is a
// result port.
func console(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "init: "+format+"\n", args...)
}

// openPort opens the result port in raw mode, so that bytes arrive as sent.
func openPort() (*os.File, error) {
	if err := mount("dev", "/dev", "devtmpfs", ""); err != nil {
		return nil, err
	}
	// The descriptor must not become non-blocking: a serial port is slow, and
	// Go's poller does not take every tty.
	fd, err := syscall.Open(guest.ResultPort, syscall.O_WRONLY|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var t syscall.Termios
	if err := ioctl(fd, syscall.TCGETS, unsafe.Pointer(&t)); err != nil {
		return nil, err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = syscall.CS8 | syscall.CREAD | syscall.CLOCAL | syscall.B115200
	if err := ioctl(fd, syscall.TCSETS, unsafe.Pointer(&t)); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), guest.ResultPort), nil
}

// drain waits until the last byte has left the port.
func drain(port *os.File) {
	const tcsbrk = 0x5409 // with argument 1: tcdrain(3)
	for {
		_, _, e := syscall.Syscall(syscall.SYS_IOCTL, port.Fd(), tcsbrk, 1)
		if e != syscall.EINTR {
			return
		}
	}
}

func ioctl(fd int, req uintptr, arg unsafe.Pointer) error {
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), req, uintptr(arg)); e != 0 {
		return e
	}
	return nil
}

func powerOff() {
	syscall.Sync()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // the exit of process 1 would be reported as a kernel panic
}
