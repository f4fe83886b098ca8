// Writes files whole or not at all.
#pragma once

#include <functional>
#include <ostream>
#include <string>

namespace lcnn::reports {

// Writes what `write` writes beside `path`, then renames it: a reader sees the file of before or all of the
// new one. A path that is no ordinary file, such as /dev/stdout, is written to. Throws UnusableInput when it
// cannot be written.
void replace_file(const std::string& path, const std::function<void(std::ostream&)>& write);

}  // namespace lcnn::reports
