// Package match turns conditions on paths, integers and addresses into
// read-only tables whose lookup cost does not grow with the number of
// conditions. Input are lists of atoms (an atom is one condition: some
// patterns, ranges or prefixes); output is a table and, for each outcome
// ("class") that the table can yield, the list of atoms that hold. The package
// is pure data: it knows neither kernel nor instructions. [Compile] handles
// paths ([CompileSplit] those whose combinations are too many for one table),
// [Partition] integers, [AddrPartition] addresses.
//
// # Globs
//
// A glob matches a whole path, byte by byte:
//
//	?        one byte but '/'
//	*        any run of bytes without '/'
//	**       any run of bytes; three or more stars in a row are the same
//	[a-z_]   one of these bytes; [^a-z_] one of all others; never '/'
//	{a,b}    one of the alternatives, which are globs, may be empty and nest
//	\        makes the next byte an ordinary one, within brackets too
//
// Only ^ negates a class: [!x] is '!' or 'x'. A '-' first or last in a class is
// itself, and so are *, ?, comma, braces and '[' in it. A comma outside of
// braces is itself. NUL bytes, unbalanced brackets or braces, "{}", empty
// classes, reversed ranges, a class that names '/' and a trailing backslash are
// errors. `/a/**` does not match "/a"; [Under] does. The empty path, that of
// unnamed files, is matched by patterns that match the empty string, as `**`.
//
// # The path table
//
// [Automaton.Table] is a sequence of records, then branch slots, then a guard.
// All numbers are little-endian. The machine that runs it has two registers:
//
//	S    the state, 24 bits
//	pos  the index of the next byte of the path
//
// It starts with S = Start, pos = 0. States up to Limit = (len(Table)-Guard)/8
// are records, at offset S*StateSize. States from FinalState = 1<<23 end the
// match: the class is S-FinalState. No other values occur, so one comparison
// both bounds the load and detects the end. Each step does:
//
//	step:
//	  if S > Limit:  stop; the class is S - FinalState
//	  p = Table + S*8
//	  h = u64 at p                         // the header
//	  w = u64 at path+pos                  // unaligned
//	  if h & 1 == 0:                       // a run: compare 1 to 8 bytes
//	      if w << (h & 63) == u64 at p+8:
//	          pos += h >> 8 & 255          // 1 to 8
//	          S = h >> 16 & 0xffffff
//	      else:
//	          S = h >> 40                  // nothing is consumed
//	      next step
//	  if h & 2:                            // a branch that may scan (optional)
//	      x, y = w ^ u64 at p+8, w ^ u64 at p+16
//	      m = ((w-L) & ^w | (x-L) & ^x | (y-L) & ^y) & H     // first zero byte of w, x, y
//	      if m == 0:  pos += 8; next step
//	      k = ((m & -m) >> 7) * 0x0001020304050607 >> 56     // its index
//	      pos += k; w >>= 8*k
//	  b = w & 255                          // a branch: look up one byte
//	  q = ((h >> 16 & 0xffffff) + b) * SlotSize
//	  if q > len(Table)-Guard:  the table is corrupt
//	  e = u32 at Table+q
//	  pos += 1
//	  S = e >> 8 if e & 255 == b, else h >> 40
//	  next step
//
// with L = 0x0101010101010101 and H = 0x8080808080808080. The low six bits of a
// run's header are 64 - 8*count, so where a shift takes its amount modulo 64
// (eBPF does) h itself can be the amount. The word at p+8 of a run is shifted
// already. Records take 16 bytes (run), 8 (branch) or 24 (scanning branch).
//
// The part for h & 2 is an optimisation: such a record is also a correct
// branch, to itself for all bytes but the ones that stop the scan, and an
// executor may ignore the bit.
//
// Contract of the path buffer: the path is followed by a NUL byte, and
// PathSlack = 7 bytes behind the NUL are readable, with any content. The
// machine never looks behind the NUL otherwise: consuming it always ends the
// match. So for paths of at most [MaxPath] bytes, pos is at most 4095 at each
// step, and loads stay within 4095+8 bytes of the start.
//
// Contract of bounds: with the two comparisons above, every load of up to
// Guard = 24 bytes from p, and of 4 bytes from q, is within the table.
// [Automaton.MaxSteps] bounds the number of steps for paths of at most
// [MaxPath] bytes: each step consumes at least one byte, except for a run that
// fails, after which at most Stats.Retries-1 more may fail before a byte is
// consumed. A dead or decided match ends at once: a run or branch that fails
// for all patterns leads to a final state, and so does the `/` of
// `/usr/share/**` unless other patterns can still change the outcome.
//
// A match may be interrupted before any step and resumed with the same S and
// pos on every path that has the same bytes from pos on: a step depends on
// nothing else.
//
// # Why the table is small
//
// The automaton is minimal before it is encoded. Chains of states that differ
// from some other state ("if none of these bytes come, go on as if the literal
// were not there") in one byte each become runs, cut so that equal tails share
// records. Branch rows hold only what differs from the default and interleave
// in one array of slots; a slot carries its byte, and no two rows have one
// base, so that the byte alone tells whose slot it is. Byte classes would save
// slots but cost a load in every step, and do not pay here: after runs and
// defaults, rows are short.
package match
