-- What Envoy's file_server leaves open, on the routes that hand out files: etags, 304, ranges as RFC 9110 has them,
-- folders, and the headers of an answer. Each route says in its filter context which files it means (files.py).
local bit = require("bit")
local byte, bxor, tobit, lshift, tohex = string.byte, bit.bxor, bit.tobit, bit.lshift, bit.tohex

-- Two hashes of 32 bits (FNV-1a and one of Bernstein's), so that a changed page has another tag, whenever it changed.
local function tag_of(text)
  local first, second = tobit(2166136261), 5381
  for at = 1, #text do
    local each = byte(text, at)
    first = bxor(first, each)
    first = tobit(first * 403 + lshift(first, 24)) -- times 16777619, which a double does not hold exactly
    second = bxor(tobit(second * 33), each)
  end
  -- Weak, because the compressor takes strong tags away.
  return 'W/"' .. tohex(first) .. tohex(second) .. '"'
end

-- Whether one of the tags of an if-none-match is this one; weak or strong makes no difference there.
local function names(list, tag)
  return list == "*" or string.find(list, string.match(tag, '"%x+"'), 1, true) ~= nil
end

local function path_on_disk(context, path)
  path = string.gsub(path, "%?.*$", "")
  path = string.gsub(string.sub(path, #context:get("prefix") + 1), "%%(%x%x)", function(two)
    return string.char(tonumber(two, 16))
  end)
  return context:get("folder") .. path
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

function envoy_on_request(handle)
  local context, headers = handle:filterContext(), handle:headers()
  local noted = handle:streamInfo():dynamicMetadata()
  local path, known = headers:get(":path"), headers:get("if-none-match")
  local tag
  if context:get("immutable") then
    tag = '"' .. string.match(path, "/(%x+)%.[^/]*$") .. '"'
    noted:set("files", "tag", tag)
    if known and names(known, tag) then
      handle:respond({ [":status"] = "304" }, "")
      return
    end
  elseif known then
    noted:set("files", "known", known)
  end
  local range, only_if = headers:get("range"), headers:get("if-range")
  if not range and context:get("immutable") then return end
  local on_disk = path_on_disk(context, path)
  local size = size_of(on_disk)
  if size == "folder" then
    headers:remove("range")
    if not size_of(on_disk .. "/index.html") then
      handle:respond({ [":status"] = "404" }, "")
    elseif string.sub(on_disk, -1) ~= "/" then
      -- Without it the links of the page would lead beside the folder.
      local bare, query = string.match(path, "^([^?]*)(.*)$")
      handle:respond({ [":status"] = "308", location = bare .. "/" .. query }, "")
    end
  elseif not size then
    -- A file's name with a slash behind it is a bad request for file_server, and a missing page for everybody else.
    handle:respond({ [":status"] = "404" }, "")
  elseif range then
    local within = (not only_if or only_if == tag) and range_within(range, size) or nil
    headers:remove("range")
    if within then
      headers:add("range", within)
      noted:set("files", "size", string.format("%.0f", size))
    end
  end
end

function envoy_on_response(handle)
  local context, noted = handle:filterContext(), handle:streamInfo():dynamicMetadata():get("files") or {}
  local headers = handle:headers()
  local status = headers:get(":status")
  headers:replace("x-content-type-options", "nosniff")
  headers:replace("referrer-policy", "same-origin")
  headers:replace("content-security-policy", context:get("policy"))
  if status == "416" and noted.size then headers:replace("content-range", "bytes */" .. noted.size) end
  if status ~= "200" and status ~= "206" and status ~= "304" then
    headers:replace("cache-control", "no-store")
    return
  end
  headers:replace("cache-control", context:get("cache"))
  if context:get("immutable") then
    headers:replace("cross-origin-resource-policy", "cross-origin")
    headers:replace("etag", noted.tag)
    if status == "304" then headers:remove("content-type") end
    return
  end
  local length = tonumber(headers:get("content-length") or "0")
  if status ~= "200" or length == 0 or length > context:get("tagged_bytes") then return end
  local body = handle:body()
  if not body then return end -- a HEAD
  local tag = tag_of(body:getBytes(0, body:length()))
  headers = handle:headers() -- the first are no longer good after the wait for the body
  headers:replace("etag", tag)
  if noted.known and names(noted.known, tag) then
    body:setBytes("")
    headers:replace(":status", "304")
    headers:remove("content-length")
    headers:remove("content-type")
  end
end
