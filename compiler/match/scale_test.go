package match

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// peak runs f and returns how far the heap's live and not yet collected objects
// rose above what was there before, in bytes.
func peak(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	runtime.GC()
	base, top := read(), uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			top = max(top, read())
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	f()
	close(stop)
	<-stopped
	return max(top, base) - base
}

type workload struct {
	name  string
	atoms []Atom
	limit time.Duration
	bytes int    // of the table, at most
	heap  uint64 // MiB, at most
	probe []string
}

func workloads() []workload {
	const conf = "/usr/share/application%05d/config%05d.conf"
	literal := []string{"/usr/share/application00007/config55433.conf", "/usr/share/application00007/config55434.conf", "/usr/share/application0000", "/etc/passwd"}
	mixed := append(perAtom(10000, conf), glob("/usr/share/**"), glob("**.bak"), glob("/usr/share/*/config*"))
	return []workload{
		{"10k literals, one atom", []Atom{paths(10000, conf)}, time.Second, 1 << 20, 150, literal},
		{"10k literals, 10k atoms", perAtom(10000, conf), time.Second, 1 << 20, 150, literal},
		{"10k /srv/*/app/**", perAtom(10000, "/srv/*/app%05d/v%[2]d/**"), time.Second, 1 << 20, 150, []string{"/srv/x/app00003/v23757/y", "/srv//app00003/v23757", "/srv/x/app00003/v23757/"}},
		{"10k /etc/app/*.conf", perAtom(10000, "/etc/app%05d/x%[2]d*.conf"), time.Second, 2 << 20, 150, []string{"/etc/app00003/x23757.conf", "/etc/app00003/x23757zz.con.conf", "/etc/app00003/x23757/.conf"}},
		{"300 /etc/**/x*", perAtom(300, "/etc/**/x%05d*"), time.Second, 1 << 20, 150, []string{"/etc/a/b/x00123zz", "/etc/x00123", "/etc/a/x00123/x00124"}},
		{"10k literals and wide globs", mixed, 2 * time.Second, 2 << 20, 150, append(literal, "/usr/share/application00007/config55433.confz", "/usr/share/application00007/x.bak")},
		{"100k literals, one atom", []Atom{paths(100000, conf)}, 3 * time.Second, 4 << 20, 600, literal},
	}
}

func TestScale(t *testing.T) {
	for _, w := range workloads() {
		var a *Automaton
		var err error
		var took time.Duration
		heap := peak(func() {
			began := time.Now()
			a, err = Compile(w.atoms, Options{})
			took = time.Since(began)
		}) >> 20
		require.NoError(t, err, w.name)
		t.Logf("%-28s %6s %4d MiB  %+v classes %d", w.name, took.Round(time.Millisecond), heap, a.Stats, len(a.Classes))
		require.Less(t, heap, w.heap, w.name)
		require.Less(t, took, 4*w.limit, w.name) // generous: the machine is shared
		require.Less(t, len(a.Table), w.bytes, w.name)
		for _, p := range w.probe {
			if len(w.atoms) < 20000 {
				check(t, a, w.atoms, p)
			}
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, w := range workloads() {
		b.Run(w.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a, err := Compile(w.atoms, Options{})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(a.Table)), "table-bytes")
			}
		})
	}
}

func BenchmarkSteps(b *testing.B) {
	for _, n := range []int{10, 10000} {
		atoms := append(perAtom(n, "/usr/share/application%05d/config%05d.conf"), glob("/etc/{shadow,gshadow}*"), glob("**/.ssh/**"))
		a, err := Compile(atoms, Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range []string{"/usr/share/application00007/config55433.conf", "/etc/shadow", "/usr/lib/x86/some/dir/file.txt", "/home/u/.ssh/id"} {
			b.Run(fmt.Sprintf("%d%s", n, p), func(b *testing.B) {
				m := machine{a: a, path: []byte(p), scan: true, state: a.Start}
				m.run()
				b.ReportMetric(float64(m.steps), "steps")
				for b.Loop() {
					a.Match([]byte(p))
				}
			})
		}
	}
}
