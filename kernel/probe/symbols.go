package probe

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Addresses are kernel addresses that programs read; 0 if they are hidden.
type Addresses struct {
	RenameLock uint64 // rename_lock (fs/dcache.c): its sequence word
	MountLock  uint64 // mount_lock (fs/namespace.c): its sequence word
}

// Symbols reads the addresses from /proc/kallsyms, once per process. Hidden ones
// (kernel.kptr_restrict) are no error.
func Symbols() (Addresses, error) { return symbols() }

var symbols = sync.OnceValues(func() (Addresses, error) {
	f, err := os.Open("/proc/kallsyms")
	if os.IsNotExist(err) {
		return Addresses{}, nil
	}
	if err != nil {
		return Addresses{}, err
	}
	defer f.Close()
	return readSymbols(f)
})

func readSymbols(r io.Reader) (Addresses, error) {
	var a Addresses
	wanted := map[string]*uint64{"rename_lock": &a.RenameLock, "mount_lock": &a.MountLock}
	lines := bufio.NewScanner(r)
	for left := len(wanted); left > 0 && lines.Scan(); {
		line := lines.Text()
		if !strings.HasSuffix(line, "_lock") {
			continue
		}
		fields := strings.Fields(line) // address, type, name; modules' have a fourth
		if len(fields) != 3 || wanted[fields[2]] == nil {
			continue
		}
		addr, err := strconv.ParseUint(fields[0], 16, 64)
		if err != nil {
			return Addresses{}, fmt.Errorf("kallsyms: %w", err)
		}
		*wanted[fields[2]] = addr
		left--
	}
	return a, lines.Err()
}
