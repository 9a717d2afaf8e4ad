// Runs a program to its end and says how long that took: what a launch costs, from exec to exit;
// and where the programs are.
//
// Invariants: no child outlives the call that started it.
// Thread safety: no state.
#ifndef VMWIRE_BENCH_CHILD_PROCESS_H_
#define VMWIRE_BENCH_CHILD_PROCESS_H_

#include <string>
#include <vector>

namespace vmwire::bench {

// Nanoseconds from posix_spawn to the end of the child, its output thrown away. Ends this process
// if the child does not exit with 0.
double TimeChild(const std::vector<std::string>& command);

// Nanoseconds from posix_spawn to the first byte that the child prints; it runs to its end all the
// same. Ends this process if the child prints nothing, or as TimeChild.
double TimeToFirstByte(const std::vector<std::string>& command);

// The build folder, which holds vmwire, guests/ and bench/: the one above that of this program.
std::string BuildFolder();

}  // namespace vmwire::bench

#endif  // VMWIRE_BENCH_CHILD_PROCESS_H_
