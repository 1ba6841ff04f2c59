// Command webd is a small web server with holes, for the demonstration of
// web.snp: it serves files, writes a log, and lets its visitors read files,
// start programs and more.
//
//	webd serve                 serves on 127.0.0.1:8080
//	webd probe confined|free   visits each hole of a running server from outside, prints
//	                           what came of it, and fails if that is not what it should be
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	address = "127.0.0.1:8080"
	logFile = "/var/log/webd/access.log"
	docRoot = "/srv/www"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 1 && args[0] == "serve":
		err = http.ListenAndServe(address, handler())
	case len(args) == 2 && args[0] == "probe" && (args[1] == "confined" || args[1] == "free"):
		err = probe(args[1] == "confined")
	default:
		err = errors.New("usage: webd serve | webd probe confined|free")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "webd:", err)
		os.Exit(1)
	}
}

// handler is the server. A real one would not take orders from the query.
func handler() http.Handler {
	mux := http.NewServeMux()
	hole := func(path string, do func(query func(string) string) ([]byte, error)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			body, err := do(r.URL.Query().Get)
			if err != nil {
				http.Error(w, reason(err), http.StatusForbidden)
				return
			}
			w.Write(body)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if err := logLine(r.Method + " " + r.URL.Path); err != nil {
			http.Error(w, reason(err), http.StatusForbidden)
			return
		}
		http.ServeFile(w, r, filepath.Join(docRoot, filepath.Clean(r.URL.Path)))
	})
	hole("/download", func(q func(string) string) ([]byte, error) { return os.ReadFile(q("file")) })
	hole("/ping", func(q func(string) string) ([]byte, error) {
		return exec.Command("/bin/sh", "-c", "echo pong "+q("host")).CombinedOutput()
	})
	hole("/upload", func(q func(string) string) ([]byte, error) {
		return nil, os.WriteFile(q("file"), []byte("defaced\n"), 0o644)
	})
	hole("/move", func(q func(string) string) ([]byte, error) { return nil, os.Rename(q("from"), q("to")) })
	hole("/fetch", func(q func(string) string) ([]byte, error) {
		c, err := net.Dial("tcp", q("addr"))
		if err == nil {
			err = c.Close()
		}
		return nil, err
	})
	hole("/listen", func(q func(string) string) ([]byte, error) {
		l, err := net.Listen("tcp", q("addr"))
		if err == nil {
			err = l.Close()
		}
		return nil, err
	})
	return mux
}

func logLine(s string) error {
	f, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, s)
	return err
}

// reason is the errno's name where there is one.
func reason(err error) string {
	for name, errno := range map[string]syscall.Errno{"EACCES": syscall.EACCES, "EPERM": syscall.EPERM, "ENOENT": syscall.ENOENT, "ECONNREFUSED": syscall.ECONNREFUSED} {
		if errors.Is(err, errno) {
			return name
		}
	}
	return err.Error()
}

// visits are what the probe does and what must come of it: under web.snp, and
// under no policy.
var visits = []struct{ what, path, confined, free string }{
	{"serve a page and log the visit", "/page.txt", "worked: Welcome", "worked: Welcome"},
	{"bind a port that the policy lists", "/listen?addr=127.0.0.1:8090", "worked", "worked"},
	{"connect to the database (none is running)", "/fetch?addr=127.0.0.1:5432", "failed: ECONNREFUSED", "failed: ECONNREFUSED"},
	{"path traversal: read /etc/shadow", "/download?file=/etc/shadow", "failed: ENOENT", "worked: root"},
	{"command injection: start /bin/sh", "/ping?host=x", "failed: EACCES", "worked: pong x"},
	{"deface the site: overwrite a page", "/upload?file=/srv/www/page.txt", "failed: EACCES", "worked"},
	{"deface the site: rename a page", "/move?from=/srv/www/page.txt&to=/srv/www/gone.txt", "failed: EACCES", "worked"},
	{"request forgery: connect to port 22", "/fetch?addr=127.0.0.1:22", "failed: EACCES", "failed: ECONNREFUSED"},
	{"back door: listen on port 4444", "/listen?addr=127.0.0.1:4444", "failed: EACCES", "worked"},
	{"tune the kernel: write /proc/sys", "/upload?file=/proc/sys/kernel/domainname", "the server was killed", "worked"},
}

func probe(confined bool) error {
	if err := await(); err != nil {
		return err
	}
	wrong := 0
	for _, v := range visits {
		want := v.free
		if confined {
			want = v.confined
		}
		got := visit(v.path)
		note := ""
		if !strings.HasPrefix(got, want) {
			wrong++
			note = fmt.Sprintf("   UNEXPECTED, should be %q", want)
		}
		fmt.Printf("  %-42s %s%s\n", v.what, got, note)
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d visits went another way than they should", wrong, len(visits))
	}
	return nil
}

// await waits until the server answers.
func await() error {
	var err error
	for range 150 {
		var c net.Conn
		if c, err = net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("no server: %w", err)
}

func visit(path string) string {
	resp, err := http.Get("http://" + address + path)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) {
		return "the server was killed"
	}
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	switch {
	case resp.StatusCode != http.StatusOK:
		return "failed: " + line
	case line == "":
		return "worked"
	}
	return "worked: " + line
}
