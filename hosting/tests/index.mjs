// All tests of the page, one after the other, with one local stack.

import "./flows.mjs";
import "./problems.mjs";
import "./following.mjs";
import "./crowd.mjs";
