-- wrk asks for the routes of a table in random order: `wrk -s routes.lua URL -- COUNT`. The requests
-- are made beforehand and are as many whatever the table's size, so that the load costs the same.

local requests, next_one = {}, 0

function init(arguments)
  math.randomseed(1)
  for index = 1, 10000 do
    local path = string.format("/route-%05d/page", math.random(0, tonumber(arguments[1]) - 1))
    requests[index] = wrk.format("GET", path)
  end
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end
