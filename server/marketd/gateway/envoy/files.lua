-- What Envoy's file_server leaves open, on the routes that hand out files: etags, 304, ranges as RFC 9110 has them,
-- folders, and the headers of an answer. Each route says in its filter context which files it means (files.py).
--
-- It opens files in Envoy's own thread, which nothing must hold up for long: pages from a folder of this machine once
-- a second at most, and pictures, whose folder may be another machine's, only for a range.
local bit = require("bit")
local byte, bxor, tobit, lshift, tohex = string.byte, bit.bxor, bit.tobit, bit.lshift, bit.tohex

-- Two hashes of 32 bits (FNV-1a and one of Bernstein's), so that a changed page has another tag, whenever it changed.
-- Weak, because the compressor takes strong tags away.
local function tag_of_text(text)
  local first, second = tobit(2166136261), 5381
  for at = 1, #text do
    local each = byte(text, at)
    first = bxor(first, each)
    first = tobit(first * 403 + lshift(first, 24)) -- times 16777619, which a double does not hold exactly
    second = bxor(tobit(second * 33), each)
  end
  return 'W/"' .. tohex(first) .. tohex(second) .. '"'
end

local tags = {}

-- The tag of a page, as it was within this second; none for large files.
local function tag_of(path, size, limit)
  if size > limit then return nil end
  local now, kept = os.time(), tags[path]
  if kept and kept.second == now and kept.size == size then return kept.tag end
  local file = io.open(path, "rb")
  if not file then return nil end
  local tag = tag_of_text(file:read("*a") or "")
  file:close()
  tags[path] = { second = now, size = size, tag = tag }
  return tag
end

-- Whether one of the tags of an if-none-match is this one; weak or strong makes no difference there.
local function names(list, tag)
  return list == "*" or string.find(list, string.match(tag, '"%x+"'), 1, true) ~= nil
end

-- The bytes of a file; nothing for what is missing, and "folder" for a folder, which can be opened and not read.
local function size_of(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local _, refused = file:read(1)
  local size = refused and "folder" or file:seek("end")
  file:close()
  return size
end

local function on_disk(context, path)
  local below = string.sub(path, #context:get("prefix") + 1)
  return context:get("folder") .. string.gsub(below, "%%(%x%x)", function(two)
    return string.char(tonumber(two, 16))
  end)
end

-- A range that the file has, as file_server takes it; nothing where the whole file is the answer.
local function range_within(range, size)
  local first, last = string.match(range, "^bytes=(%d*)%-(%d*)$")
  if not first or #first > 15 or (first == "" and last == "") then return nil end
  if first == "" then
    first, last = math.max(0, size - tonumber(last)), size - 1
  else
    first = tonumber(first)
    last = (last == "" or #last > 15) and size - 1 or math.min(tonumber(last), size - 1)
    if first < size and last < first then return nil end
  end
  if first >= size then return string.format("bytes=%.0f-", size + 1) end -- file_server refuses this with 416
  return string.format("bytes=%.0f-%.0f", first, last)
end

-- Where a page is found, and its size; nothing when the request has been answered.
local function page(handle, context, path, query)
  local found = on_disk(context, path)
  local size = size_of(found)
  if size == "folder" then
    local slash = string.sub(found, -1) == "/"
    found = found .. (slash and "" or "/") .. "index.html"
    size = size_of(found)
    if type(size) == "number" and not slash then
      -- Without it the links of the page would lead beside the folder.
      handle:respond({ [":status"] = "308", location = path .. "/" .. query }, "")
      return nil
    end
  end
  if type(size) ~= "number" then
    -- For file_server a folder is forbidden and a slash behind a file's name a bad request; to readers both are missing.
    handle:respond({ [":status"] = "404" }, "")
    return nil
  end
  return found, size
end

function envoy_on_request(handle)
  local context, headers = handle:filterContext(), handle:headers()
  local method = headers:get(":method")
  if method ~= "GET" and method ~= "HEAD" then return end
  local noted = handle:streamInfo():dynamicMetadata()
  local path, query = string.match(headers:get(":path"), "^([^?]*)(.*)$")
  local range, only_if, known = headers:get("range"), headers:get("if-range"), headers:get("if-none-match")
  local size, tag
  if context:get("immutable") then
    tag = '"' .. string.match(path, "/(%x+)%.[^/]*$") .. '"'
    if range then size = size_of(on_disk(context, path)) end
  else
    local found
    found, size = page(handle, context, path, query)
    if not found then return end
    tag = tag_of(found, size, context:get("tagged_bytes"))
  end
  if tag then noted:set("files", "tag", tag) end
  if tag and known and names(known, tag) then
    handle:respond({ [":status"] = "304" }, "")
  elseif range and type(size) == "number" then
    -- A part of a page goes with no tag that it has: those are weak, and RFC 9110 wants a strong one here.
    local same = not only_if or (only_if == tag and context:get("immutable"))
    local within = same and range_within(range, size) or nil
    headers:remove("range")
    if within then
      headers:add("range", within)
      noted:set("files", "size", string.format("%.0f", size))
    end
  end
end

function envoy_on_response(handle)
  local context, headers = handle:filterContext(), handle:headers()
  local noted = handle:streamInfo():dynamicMetadata():get("files") or {}
  local status = headers:get(":status")
  headers:replace("x-content-type-options", "nosniff")
  headers:replace("referrer-policy", "same-origin")
  headers:replace("content-security-policy", context:get("policy"))
  if status == "200" or status == "206" or status == "304" then
    headers:replace("cache-control", context:get("cache"))
    if noted.tag then headers:replace("etag", noted.tag) end
    if context:get("immutable") then headers:replace("cross-origin-resource-policy", "cross-origin") end
    if status == "304" then headers:remove("content-type") end
  else
    headers:replace("cache-control", "no-store")
    if status == "405" then headers:replace("allow", "GET, HEAD") end
    if status == "416" and noted.size then headers:replace("content-range", "bytes */" .. noted.size) end
  end
end
